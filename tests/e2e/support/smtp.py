"""A mail server for tests: writes what it takes into a folder, one JSON file for each mail."""

import argparse
import asyncio
import itertools
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

arguments = argparse.ArgumentParser()
arguments.add_argument("folder")
arguments.add_argument("--port", type=int, default=0)
arguments.add_argument("--certificate")
arguments.add_argument("--key")
arguments.add_argument("--wrapped", action="store_true")
arguments.add_argument("--login")
arguments.add_argument("--refuse", help="the answer to every mail")
arguments.add_argument("--stall", action="store_true", help="never say a word")
given = arguments.parse_args()
numbers = itertools.count()


class Taken:
    async def handle_DATA(self, server, session, envelope):
        if given.refuse:
            return given.refuse
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or given.wrapped,
            "login": session.auth_data if session.authenticated else None,
            "content": envelope.content.decode("latin-1"),
        }
        name = os.path.join(given.folder, f"{next(numbers):04}.json")
        with open(name + ".new", "w") as file:
            json.dump(mail, file)
        os.rename(name + ".new", name)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    sent = f"{data.login.decode()}:{data.password.decode()}"
    return AuthResult(success=sent == given.login, handled=False, auth_data=data.login.decode())


def context():
    if not given.certificate:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(given.certificate, given.key)
    return made


def protocol():
    if given.stall:
        return asyncio.Protocol()
    options = {"hostname": "mail.test", "loop": loop}
    if given.login:
        options |= {"authenticator": authenticate, "auth_required": True}
        options["auth_require_tls"] = bool(given.certificate) and not given.wrapped
    if given.certificate and not given.wrapped:
        options["tls_context"] = context()
    return SMTP(Taken(), **options)


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
wrapped = context() if given.wrapped else None
listening = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", given.port, ssl=wrapped))
print(listening.sockets[0].getsockname()[1], flush=True)
loop.run_forever()
