"""Real servers for tests/servers.rs: SMTP with STARTTLS and a login (aiosmtpd), and SNS (moto).

    python servers.py smtp CERT KEY [refuse=CODE]   writes each mail as a line of JSON to standard output
    python servers.py sns                           prints its port; at the end of standard input the SMS it took
"""
import json
import ssl
import sys
import threading

USER, PASSWORD = "alerts", "correct horse"


def smtp(cert, key, refuse):
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
            return "250 OK"

    def login(server, session, envelope, mechanism, data):
        good = data.login == USER.encode() and data.password == PASSWORD.encode()
        return AuthResult(success=good, handled=good)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    controller = Controller(Handler(), hostname="127.0.0.1", port=0, tls_context=context, require_starttls=True,
                            authenticator=login, auth_required=True)
    # Controller cannot say which port 0 became, and needs the real one to see that it runs.
    import socket
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = free.getsockname()[1]
    controller.start()
    print(controller.port, flush=True)
    sys.stdin.read()
    controller.stop()


def sns():
    from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    from moto.sns.models import sns_backends
    backend = sns_backends["123456789012"]["us-east-1"]
    print(json.dumps([list(message) for message in backend.sms_messages.values()]), flush=True)
    server.stop()


if sys.argv[1] == "smtp":
    smtp(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else "")
else:
    sns()
