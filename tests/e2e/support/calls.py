"""gRPC as Python's `grpcio` speaks it, without generated code: messages are bytes.

    calls.py serve              prints its port
    calls.py ask ADDRESS KEY    prints what worked, one word a line
"""

import sys
import time
from concurrent import futures

import grpc

SERVICE = "/test.Echo/"


class Echo(grpc.GenericRpcHandler):
    """One method of each kind."""

    def service(self, call):
        kinds = {
            "One": grpc.unary_unary_rpc_method_handler(self.one),
            "Down": grpc.unary_stream_rpc_method_handler(self.down),
            "Up": grpc.stream_unary_rpc_method_handler(self.up),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
            "Wrong": grpc.unary_unary_rpc_method_handler(self.wrong),
            "Forever": grpc.unary_stream_rpc_method_handler(self.forever),
        }
        return kinds.get(call.method.removeprefix(SERVICE))

    def one(self, message, context):
        told = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-tenant-seen", str("x-tenant-id" in told)), ("x-key-seen", str("x-api-key" in told))))
        return message

    def down(self, message, context):
        for _ in range(100):
            yield message

    def up(self, messages, context):
        return str(sum(len(message) for message in messages)).encode()

    def both(self, messages, context):
        yield from messages

    def wrong(self, message, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä")

    def forever(self, message, context):
        while context.is_active():
            yield message
            time.sleep(0.05)


def serving():
    server = grpc.server(futures.ThreadPoolExecutor(16), handlers=(Echo(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def asking(address, key):
    told = (("x-api-key", key),)
    with grpc.insecure_channel(address, options=(("grpc.default_authority", "gw"),)) as channel:
        large = bytes(1 << 20)
        answer, call = channel.unary_unary(SERVICE + "One").with_call(large, metadata=told)
        trailing = dict(call.trailing_metadata())
        assert answer == large and call.code() == grpc.StatusCode.OK
        assert trailing["x-tenant-seen"] == "True" and trailing["x-key-seen"] == "False", trailing
        print("unary")
        assert list(channel.unary_stream(SERVICE + "Down")(b"x" * 1000, metadata=told)) == [b"x" * 1000] * 100
        print("down")
        pieces = (b"y" * 10_000 for _ in range(100))
        assert channel.stream_unary(SERVICE + "Up")(pieces, metadata=told) == b"1000000"
        print("up")
        sent = [bytes([n]) * n for n in range(200)]
        assert list(channel.stream_stream(SERVICE + "Both")(iter(sent), metadata=told)) == sent
        print("both")
        for method, metadata, code in (
            ("Wrong", told, grpc.StatusCode.NOT_FOUND),
            ("Nothing", told, grpc.StatusCode.UNIMPLEMENTED),
            ("One", (), grpc.StatusCode.UNAUTHENTICATED),
            ("One", (("x-api-key", "nobody"),), grpc.StatusCode.UNAUTHENTICATED),
        ):
            try:
                channel.unary_unary(SERVICE + method)(b"", metadata=metadata)
                sys.exit(f"{method} worked")
            except grpc.RpcError as error:
                assert error.code() == code, error
                if method == "Wrong":
                    assert error.details() == "no such thing: ä", error
        print("errors")
        stream = channel.unary_stream(SERVICE + "Forever")(b"x", metadata=told)
        next(stream)
        print("streaming", flush=True)
        try:
            for _ in stream:
                pass
            sys.exit("the stream ended as if it were complete")
        except grpc.RpcError as error:
            print(error.code().name)


if __name__ == "__main__":
    serving() if sys.argv[1] == "serve" else asking(*sys.argv[2:])
