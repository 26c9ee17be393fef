"""Writes sparkplug.txt: Sparkplug B messages as pysparkplug 0.6.1 and its protobuf classes encode them.

Each line: name, topic, payload in hexadecimal. `pip install pysparkplug==0.6.1; python sparkplug.py > sparkplug.txt`.
"""
import datetime
from pysparkplug import DataType as T, DBirth, DData, DDeath, Metric, NBirth, NCmd, NDeath
from pysparkplug._protobuf import Payload

START = 1_767_571_200_000  # 2026-01-05T00:00:00Z
WHEN = datetime.datetime.fromtimestamp(START / 1000, datetime.timezone.utc)


def metric(at, name, datatype, value=None, **more):
    return Metric(timestamp=START + at, name=name, datatype=datatype, value=value, **more)


def write(name, topic, payload, typed=False):
    data = payload.SerializeToString() if isinstance(payload, Payload) else payload.encode(include_dtypes=typed)
    print(name, topic, data.hex())


def direct(seq, at):
    return Payload(timestamp=START + at, seq=seq)


def number(value):
    """A property that is a whole number, or text."""
    inner = Payload.PropertyValue()
    if isinstance(value, str):
        inner.type, inner.string_value = T.STRING, value
    else:
        inner.type, inner.int_value = T.INT32, value
    return inner


def properties(metric, **all):
    for key, value in all.items():
        metric.properties.keys.append(key)
        metric.properties.values.append(number(value))


write("types", "spBv1.0/plant/NBIRTH/types", NBirth(START, 0, (
    metric(1, "i8", T.INT8, -5), metric(1, "i16", T.INT16, -300), metric(1, "i32", T.INT32, -70_000),
    metric(1, "i64", T.INT64, -5_000_000_000), metric(1, "u8", T.UINT8, 200), metric(1, "u16", T.UINT16, 60_000),
    metric(1, "u32", T.UINT32, 4_000_000_000), metric(1, "u64", T.UINT64, 2**64 - 1), metric(1, "float", T.FLOAT, 0.1),
    metric(1, "double", T.DOUBLE, 0.1), metric(1, "bool", T.BOOLEAN, True), metric(1, "string", T.STRING, "Öl"),
    metric(1, "time", T.DATETIME, WHEN), metric(1, "text", T.TEXT, ""), metric(1, "uuid", T.UUID, "c0ffee"),
    metric(1, "bytes", T.BYTES, b"\x00\xff"), metric(1, "file", T.FILE, b"ab"), metric(1, "i8s", T.INT8_ARRAY, (-1, 2)),
    metric(1, "i64s", T.INT64_ARRAY, (-1, 2**40)), metric(1, "u16s", T.UINT16_ARRAY, (1, 65_535)),
    metric(1, "floats", T.FLOAT_ARRAY, (0.5, 0.1)), metric(1, "doubles", T.DOUBLE_ARRAY, (0.1,)),
    metric(1, "bools", T.BOOLEAN_ARRAY, (False, False, True, True, False, True, False, False, True, True, False, True)),
    metric(1, "strings", T.STRING_ARRAY, ("a", "b c")), metric(1, "times", T.DATETIME_ARRAY, (WHEN,)),
    metric(1, "null", T.FLOAT))))

other = direct(1, 2)
one = other.metrics.add(name="motor", datatype=T.TEMPLATE, timestamp=START + 2)
one.template_value.template_ref = "Motor"
one.template_value.metrics.add(name="rpm", datatype=T.INT32, int_value=1450)
one.template_value.metrics.add(name="amps", datatype=T.DOUBLE, double_value=3.2, timestamp=START + 1)
one = other.metrics.add(name="_types_/Motor", datatype=T.TEMPLATE)
one.template_value.is_definition = True
one.template_value.metrics.add(name="rpm", datatype=T.INT32, int_value=0)
one = other.metrics.add(name="table", datatype=T.DATASET)
one.dataset_value.num_of_columns = 1
one = other.metrics.add(name="oil", datatype=T.DOUBLE, double_value=80.5)
properties(one, engUnit="°C", Quality=192)
other.metrics.add(name="quote", datatype=T.STRING, string_value='say "x"')
other.metrics.add(name="nan", datatype=T.DOUBLE, double_value=float("nan"))
other.metrics.add(name="nothing", datatype=T.DOUBLE)
write("other", "spBv1.0/plant/NDATA/types", other)

node, device = "spBv1.0/plant/{}/line", "spBv1.0/plant/{}/line/press"


def births(name, at, bd_seq, temperature, speed, state):
    birth = direct(0, at)
    birth.metrics.add(name="bdSeq", timestamp=START + at, datatype=T.INT64, long_value=bd_seq)
    one = birth.metrics.add(name="temp", alias=temperature, timestamp=START + at, datatype=T.FLOAT, float_value=20.5)
    properties(one, engUnit="°C")
    write(f"nbirth-{name}", node.format("NBIRTH"), birth)
    write(f"dbirth-{name}", device.format("DBIRTH"), DBirth(START + at + 1, 1, (
        metric(at + 1, "speed", T.INT32, 100, alias=speed), metric(at + 1, "state", T.STRING, "idle", alias=state))))


births("a", 0, 7, 1, 2, 3)
write("ddata-2", device.format("DDATA"), DData(START + 1_000, 2, (metric(1_000, None, T.INT32, -110, alias=2),)))
write("ddata-3", device.format("DDATA"), DData(START + 2_000, 3, (
    metric(500, None, T.INT32, 105, alias=2, is_historical=True), metric(2_000, None, T.STRING, alias=3, is_null=True))))
good = direct(4, 3_000)
one = good.metrics.add(alias=1, timestamp=START + 3_000, float_value=21.5, is_transient=True)
properties(one, Quality=192)
write("ndata-4", node.format("NDATA"), good)
write("ddata-6", device.format("DDATA"), DData(START + 5_000, 6, (
    metric(5_000, None, T.INT32, 120, alias=2), metric(5_000, "state", T.STRING, "run"))), typed=True)
write("ddata-7", device.format("DDATA"), DData(START + 6_000, 7, (metric(6_000, None, T.INT32, 121, alias=2),)))
# Born again with other aliases.
births("b", 7_000, 7, 11, 12, 2)
write("ddata-b2", device.format("DDATA"), DData(START + 8_000, 2, (metric(8_000, None, T.INT32, 130, alias=12),)))
write("ddeath-b3", device.format("DDEATH"), DDeath(START + 9_000, 3))
write("ndeath-6", node.format("NDEATH"), NDeath(None, metric(0, "bdSeq", T.INT64, 6)))
write("ndeath-7", node.format("NDEATH"), NDeath(None, metric(0, "bdSeq", T.INT64, 7)))
births("c", 20_000, 8, 1, 2, 3)
write("ddata-c2", device.format("DDATA"), DData(START + 21_000, 2, (metric(21_000, None, T.INT32, 1, alias=99),)))
write("ddata-c3", device.format("DDATA"), DData(START + 22_000, 3, (metric(22_000, None, T.INT32, 5, alias=2),)))
write("rebirth", node.format("NCMD"), NCmd(START, (metric(0, "Node Control/Rebirth", T.BOOLEAN, True),)), typed=True)
