"""A backend in a process of its own, to be killed, frozen, or asked to stop: SIGTERM ends it as a good server ends.

It stops accepting, finishes what it has and closes idle connections. What comes on a connection that it has closed is
counted and not answered. It prints its port when it listens, and that count at its end.
"""

import asyncio
import signal
import socket
import sys


class Copy:
    def __init__(self, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(256)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.stopping = asyncio.Event()
        self.late = 0
        self.tasks = set()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.ensure_future(self.serve(connection))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def serve(self, connection):
        loop = asyncio.get_running_loop()
        data = b""
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    await self.readable(connection, None if data else stop)
                    try:
                        # What has arrived by now is still served.
                        some = connection.recv(65536)
                    except BlockingIOError:
                        if not data and self.stopping.is_set():
                            await self.close(connection)
                            return
                        continue
                    if not some:
                        return
                    data += some
                head, _, data = data.partition(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                length = int(fields.get(b"content-length", b"0"))
                while len(data) < length:
                    data += await loop.sock_recv(connection, 65536)
                data = data[length:]
                if b"/slow" in head:
                    await asyncio.sleep(0.02)
                last = b"Connection: close\r\n" if self.stopping.is_set() else b""
                name = b"%d" % self.port
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(name), last, name)
                await loop.sock_sendall(connection, answer)
                if last:
                    return
        except OSError:
            pass
        finally:
            stop.cancel()
            connection.close()

    async def readable(self, connection, stop):
        """Waits for bytes without taking any: a read that is called off may have them already."""
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        loop.add_reader(connection, lambda: came.done() or came.set_result(None))
        try:
            await asyncio.wait({came, stop} - {None}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(connection)

    async def close(self, connection):
        """Says that nothing more will come, and sees what the other side had sent by then."""
        loop = asyncio.get_running_loop()
        try:
            connection.shutdown(socket.SHUT_WR)
            if await asyncio.wait_for(loop.sock_recv(connection, 65536), 5):
                self.late += 1
        except (OSError, asyncio.TimeoutError):
            pass

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_reader(self.listener, self.accept)
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        print(self.port, flush=True)
        await self.stopping.wait()
        while self.tasks:
            await asyncio.wait(self.tasks)
        print(self.late, flush=True)

    def stop(self):
        asyncio.get_running_loop().remove_reader(self.listener)
        self.accept()
        self.listener.close()
        self.stopping.set()


async def main():
    await Copy(int(sys.argv[1])).run()


asyncio.run(main())
