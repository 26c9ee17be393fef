"""Real servers for tests of alerts: SMTP with STARTTLS and a login (aiosmtpd), and SNS (moto).

    python servers.py smtp CERT KEY [refuse=CODE] [delay=MS] [port=N]
    python servers.py sns [delay=MS]

Each prints its port. `smtp` then writes each mail that it accepts as a line of JSON; `sns`, at the end of standard input,
the SMS that it accepted and what was published to its topic `alerts.fifo`. `delay`: time between acceptance and reply, in
which a sender may crash.
"""
import json
import ssl
import sys
import time

USER, PASSWORD = "alerts", "correct horse"


def smtp(cert, key, refuse="", delay="0", port=""):
    import asyncio
    import socket

    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options):
            if refuse:
                return f"{refuse} refused by the test"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):
            mail = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
                    "user": session.authenticated, "data": envelope.content.decode()}
            print(json.dumps(mail), flush=True)
            await asyncio.sleep(int(delay) / 1000)
            return "250 OK"

    def login(server, session, envelope, mechanism, data):
        good = data.login == USER.encode() and data.password == PASSWORD.encode()
        return AuthResult(success=good, handled=good)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    controller = Controller(Handler(), hostname="127.0.0.1", port=0, tls_context=context, require_starttls=True,
                            authenticator=login, auth_required=True)
    # Controller cannot say which port 0 became, and needs the real one to see that it runs.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = int(port) if port else free.getsockname()[1]
    controller.start()
    print(controller.port, flush=True)
    sys.stdin.read()
    controller.stop()


def sns(delay="0"):
    import boto3
    from moto.server import ThreadedMotoServer
    from moto.sns.models import SNSBackend, sns_backends

    publish = SNSBackend.publish

    def slow(*arguments, **named):
        result = publish(*arguments, **named)
        time.sleep(int(delay) / 1000)
        return result

    SNSBackend.publish = slow
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    client = boto3.client("sns", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
                          aws_access_key_id="test", aws_secret_access_key="test")
    topic = client.create_topic(Name="alerts.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    print(port, flush=True)
    sys.stdin.read()
    backend = sns_backends["123456789012"]["us-east-1"]
    published = backend.topics[topic].sent_notifications
    print(json.dumps({"sms": [list(message) for message in backend.sms_messages.values()],
                      "topic": [notification[1] for notification in published]}))
    server.stop()


words = dict(word.split("=", 1) for word in sys.argv[2:] if "=" in word)
paths = [word for word in sys.argv[2:] if "=" not in word]
{"smtp": smtp, "sns": sns}[sys.argv[1]](*paths, **words)
