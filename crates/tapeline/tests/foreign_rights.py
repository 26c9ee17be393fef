"""Sets permissions on servers that enforce them: an account of Cassandra that may only read, topics and a group of Kafka
that may only be read, only be written, or not be joined.

foreign_rights.py CASSANDRA KAFKA KEYSPACE PREFIX
"""
import sys
import time

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable
from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

cassandra, kafka, keyspace, prefix = sys.argv[1:]
host, port = cassandra.split(":")
for attempt in range(60):
    try:
        cluster = Cluster([host], port=int(port), auth_provider=PlainTextAuthProvider("cassandra", "cassandra"))
        session = cluster.connect()
        break
    except NoHostAvailable:
        # The first account is made a moment after the server is up.
        time.sleep(1)
else:
    sys.exit("no login as cassandra")
session.execute("CREATE ROLE IF NOT EXISTS reader WITH PASSWORD = 'may-only-read' AND LOGIN = true")
session.execute(f"GRANT SELECT ON KEYSPACE {keyspace} TO reader")
cluster.shutdown()


def allow(kind, name, operation):
    return ACL("User:ANONYMOUS", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))


made = KafkaAdminClient(bootstrap_servers=kafka).create_acls([
    allow(ResourceType.TOPIC, f"{prefix}.trades", ACLOperation.READ),
    allow(ResourceType.TOPIC, f"{prefix}.quotes", ACLOperation.WRITE),
    allow(ResourceType.GROUP, f"{prefix}-closed", ACLOperation.DESCRIBE),
])
assert len(made["succeeded"]) == 3, made
print("granted")
