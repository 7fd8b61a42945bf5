"""Envoy's configuration, which is JSON as well as YAML."""

PREFIX = "type.googleapis.com/envoy.extensions."


def typed(name, **fields):
    return {"@type": PREFIX + name, **fields}


def configuration(place, keys, identity):
    """`keys`: those that are known, or none to authenticate nobody; `identity(n)`: whom the n-th speaks for."""
    listeners = []
    for address, tls in ((place.listen, False), (place.listen_tls, True)):
        listeners.append(listener(address, filters(keys, identity), place if tls else None, bool(keys)))
    clusters = [cluster("up", place.upstream, False), cluster("calls", place.grpc_upstream, True)]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def filters(keys, identity):
    chain = []
    if keys:
        credentials = [{"key": key, "client": identity(at)} for at, key in enumerate(keys)]
        chain += [
            {
                "name": "envoy.filters.http.api_key_auth",
                "typed_config": typed(
                    "filters.http.api_key_auth.v3.ApiKeyAuth",
                    key_sources=[{"header": "x-api-key"}],
                    forwarding={"header": "x-user-id", "hide_credentials": True},
                    credentials=credentials,
                ),
            },
            {
                "name": "envoy.filters.http.local_ratelimit",
                "typed_config": typed(
                    "filters.http.local_ratelimit.v3.LocalRateLimit",
                    stat_prefix="limit",
                    token_bucket={"max_tokens": 100000000, "tokens_per_fill": 100000000, "fill_interval": "1s"},
                    filter_enabled={"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
                    filter_enforced={"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
                ),
            },
        ]
    router = typed("filters.http.router.v3.Router")
    return [*chain, {"name": "envoy.filters.http.router", "typed_config": router}]


def listener(address, chain, tls, authenticates):
    routes = {
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [
                    {"match": {"prefix": "/calls/"}, "route": {"cluster": "calls", "timeout": "0s"}},
                    {"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}},
                ],
            }
        ]
    }
    if authenticates:
        client = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
        fields = {"x-project-id": "proj-1", "x-scopes": "read,write", "x-client-ip": client}
        routes["request_headers_to_add"] = [
            {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in fields.items()
        ]
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gate",
        use_remote_address=True,
        common_http_protocol_options={"idle_timeout": "3600s"},
        stream_idle_timeout="0s",
        route_config=routes,
        http_filters=chain,
    )
    network = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    both = {"filters": network}
    if tls:
        both["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": typed(
                "transport_sockets.tls.v3.DownstreamTlsContext",
                disable_stateless_session_resumption=True,
                common_tls_context={
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                    "tls_certificates": [
                        {"certificate_chain": {"filename": tls.cert}, "private_key": {"filename": tls.key}}
                    ],
                },
            ),
        }
    return {"address": socket_address(address), "enable_reuse_port": False, "filter_chains": [both]}


def cluster(name, address, http2):
    cluster = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": 30000, "max_pending_requests": 30000, "max_requests": 30000}]
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(address)}}]}],
        },
    }
    if http2:
        options = "upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions." + options: typed(options, explicit_http_config={"http2_protocol_options": {}})
        }
    return cluster


def socket_address(address):
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}
