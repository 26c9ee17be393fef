"""An edge node with one device, by pysparkplug: births, values by alias, missing messages, and replies to requests for a rebirth.

Arguments: port, and a file for the values that have to be in the store. Prints `ready` after the first part, and continues when
a line comes on standard input: until then the test may restart whatever it likes.
"""
import sys, threading, time
from pysparkplug import Client, DataType, DBirth, DData, Message, MessageType, Metric, NBirth, NDeath, QoS, Topic

START = 1_767_571_200_000


class Node:
    def __init__(self, port):
        self.clock, self.seq, self.base, self.kept = 0, 0, 0, []
        self.requested = threading.Event()
        self.client = Client()
        self.client.connect("127.0.0.1", port=port)
        self.client.subscribe(self.topic(MessageType.NCMD), QoS.AT_LEAST_ONCE, self.command)

    def topic(self, kind, device=None):
        return Topic(message_type=kind, group_id="plant", edge_node_id="line", device_id=device)

    def command(self, _, message):
        if any(metric.name == "Node Control/Rebirth" and metric.value for metric in message.payload.metrics):
            self.requested.set()

    def send(self, kind, payload, device=None):
        self.client.publish(Message(topic=self.topic(kind, device), payload=payload, qos=QoS.AT_MOST_ONCE, retain=False))

    def next(self):
        seq, self.seq = self.seq, (self.seq + 1) % 256
        self.clock += 1
        return START + self.clock, seq

    def births(self):
        """With other aliases each time: an old one would give a value to the wrong metric."""
        self.seq, self.base = 0, self.base + 1
        at, seq = self.next()
        number = Metric(timestamp=at, name="bdSeq", datatype=DataType.INT64, value=0)
        self.send(MessageType.NBIRTH, NBirth(at, seq, (number,)))
        at, seq = self.next()
        self.send(MessageType.DBIRTH, DBirth(at, seq, (
            Metric(timestamp=at, name="speed", datatype=DataType.INT32, value=-1, alias=self.base),
            Metric(timestamp=at, name="load", datatype=DataType.DOUBLE, value=0.5, alias=self.base + 1))), "press")
        self.kept.append((at, -1))

    def data(self, value, is_known=True):
        at, seq = self.next()
        metric = Metric(timestamp=at, name=None, datatype=DataType.INT32, value=value, alias=self.base)
        self.send(MessageType.DDATA, DData(at, seq, (metric,)), "press")
        if is_known:
            self.kept.append((at, value))

    def reborn(self, until_then=lambda: None):
        """Waits for a request, and sends the births."""
        end = time.monotonic() + 60
        while not self.requested.wait(0.2):
            assert time.monotonic() < end, "no request for a rebirth within a minute"
            until_then()
        self.requested.clear()
        self.births()


node = Node(int(sys.argv[1]))
# Nobody has seen a birth: values by alias mean nothing.
node.reborn(lambda: node.data(7, is_known=False))
for value in range(600):
    node.data(value)
# A message is lost.
node.next()
node.data(7, is_known=False)
node.reborn()
for value in range(600, 700):
    node.data(value)
print("ready", flush=True)
sys.stdin.readline()
# Its births are requested again before it sends anything.
node.reborn()
for value in range(700, 800):
    node.data(value)
node.send(MessageType.NDEATH, NDeath(None, Metric(timestamp=START, name="bdSeq", datatype=DataType.INT64, value=0)))
with open(sys.argv[2], "w") as file:
    file.writelines(f"{at},{value}\n" for at, value in node.kept)
time.sleep(0.5)
node.client.disconnect()
print(len(node.kept), flush=True)
