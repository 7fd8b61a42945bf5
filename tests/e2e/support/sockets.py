"""WebSockets as Python's `websockets` speaks them: a server that gives everything back, and a client.

    sockets.py serve            prints its port
    sockets.py ask URL KEY      prints what worked, one word a line
"""

import asyncio
import os
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


async def echo(socket):
    async for message in socket:
        if message == "leave":
            await socket.close(4001, "as you like")
            return
        await socket.send(message)


async def serving():
    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


async def asking(url, key):
    headers = {"X-API-Key": key}
    try:
        async with connect(url, additional_headers={"X-API-Key": "nobody"}):
            sys.exit("a stranger came in")
    except websockets.InvalidStatus as refused:
        assert refused.response.status_code == 401, refused
        print("refused")
    for compression in ("deflate", None):
        async with connect(url, additional_headers=headers, compression=compression, max_size=None) as socket:
            agreed = [extension.name for extension in socket.protocol.extensions]
            assert agreed == (["permessage-deflate"] if compression else []), agreed
            text, binary = "größer " * 150_000, os.urandom(1 << 20)
            for message in ("", "short", text, b"", binary):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send(["one ", "message ", "in ", "pieces"])
            assert await socket.recv() == "one message in pieces"
            await asyncio.wait_for(await socket.ping(b"are you there"), 20)
            await socket.send("leave")
            try:
                await socket.recv()
                sys.exit("it stayed")
            except websockets.ConnectionClosed as closed:
                assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you like"), closed
        print("deflate" if compression else "plain")


if __name__ == "__main__":
    asyncio.run(serving() if sys.argv[1] == "serve" else asking(*sys.argv[2:]))
