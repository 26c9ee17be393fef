"""Writes readings with InfluxDB's own Python client to `tapeline serve`: ADDRESS TOKEN COUNT."""

import sys

from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

address, token, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with InfluxDBClient(url=f"http://{address}", token=token, org="plant") as client:
    write = client.write_api(write_options=SYNCHRONOUS)
    points = [
        Point("boiler").tag("site", "b").field("temperature", 20 + n / 4).time(1_767_607_200 + n, WritePrecision.S)
        for n in range(count)
    ]
    write.write(bucket="plant", record=points, write_precision=WritePrecision.S)
print(f"written: {count}")
