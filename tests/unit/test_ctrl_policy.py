# SPDX-License-Identifier: Apache-2.0
"""The endpoint table and the limits."""

from __future__ import annotations

import ctrl_fake as fake
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sennit.ctrl.policy import MAX_ENDPOINTS, Policy, PolicyError
from sennit.shm import messages

PORTS = tuple(fake.port(i) for i in range(3))


def endpoint(address: str = "10.0.1.1", *flags: str, number: int = 0, port: int = 0) -> messages.Endpoint:
    return messages.Endpoint(id=number, address=address, flags=flags, port=port)


def test_lowest_free_id_is_given() -> None:
    policy = Policy()
    assert policy.add(endpoint("10.0.1.1"), PORTS).endpoint.id == 1
    assert policy.add(endpoint("10.0.2.1", number=7), PORTS).endpoint.id == 7
    assert policy.add(endpoint("10.0.3.1"), PORTS).endpoint.id == 2
    policy.remove(1)
    assert policy.add(endpoint("10.0.1.1"), PORTS).endpoint.id == 1


def test_workers_are_told_which_port_has_the_address() -> None:
    policy = Policy()
    assert policy.add(endpoint("10.0.3.1", "subflow"), PORTS).port_index == 2
    assert policy.everything() == [
        messages.PutLimits(messages.Limits()),
        messages.PutEndpoint(messages.Endpoint(1, "10.0.3.1", ("subflow",)), 2),
    ]


def test_endpoints_of_both_families_of_a_port() -> None:
    policy = Policy()
    ports = (fake.port(0), fake.port(1, address6="fd00:2::1/64"), fake.port(2, address="", address6="fd00:3::1/64"))
    assert policy.add(endpoint("FD00:2:0::1", "signal"), ports).endpoint.address == "fd00:2::1"
    assert policy.add(endpoint("10.0.2.1", "subflow"), ports).port_index == 1
    assert policy.add(endpoint("::ffff:10.0.1.1"), ports).endpoint.address == "10.0.1.1"
    assert policy.add(endpoint("fd00:3::1", "signal", port=80), ports).port_index == 2
    with pytest.raises(PolicyError, match=r"they are: 10\.0\.1\.1, 10\.0\.2\.1, fd00:2::1, fd00:3::1\)"):
        policy.add(endpoint("fe80::1"), ports)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (endpoint("10.7.7.7"), "is not the address of a port of this instance .they are: 10.0.1.1, 10.0.2.1, 10.0.3.1"),
        (endpoint("ten"), "'ten' is no IP address"),
        (endpoint("10.0.1.1", "fast"), "'fast' is no endpoint flag; flags are: signal"),
        (endpoint("10.0.1.1", "signal", "fullmesh"), "cannot be both signal and fullmesh"),
        (endpoint("10.0.1.1", "subflow", port=80), "with a port must be signal"),
        (endpoint("10.0.1.1", "signal", port=70000), "endpoint port 70000"),
        (endpoint("10.0.1.1", number=256), "id 256 is outside 1-255"),
        (endpoint("10.0.1.1", number=-1), "id -1 is outside 1-255"),
        (endpoint("10.0.2.1", number=9), "id 9 is taken by 10.0.2.1|exists already as id 9"),
        (endpoint("10.0.3.1", number=9), "id 9 is taken by 10.0.2.1"),
    ],
)
def test_bad_endpoints_are_named(wanted: messages.Endpoint, sentence: str) -> None:
    policy = Policy()
    policy.add(endpoint("10.0.2.1", number=9), PORTS)
    with pytest.raises(PolicyError, match=sentence):
        policy.add(wanted, PORTS)
    assert len(policy.endpoints) == 1


def test_table_has_a_limit() -> None:
    policy = Policy()
    for number in range(MAX_ENDPOINTS):
        policy.add(endpoint("10.0.1.1", "signal", port=8000 + number), PORTS)
    with pytest.raises(PolicyError, match="table is full"):
        policy.add(endpoint("10.0.2.1"), PORTS)


def test_limits_change_one_by_one_and_have_bounds() -> None:
    policy = Policy()
    policy.set_limits(2, None)
    assert policy.limits == messages.Limits(2, 8)
    policy.set_limits(None, 0)
    assert policy.limits == messages.Limits(2, 0)
    with pytest.raises(PolicyError, match="limit subflow 99 is outside 0-15"):
        policy.set_limits(99, 1)
    assert policy.limits == messages.Limits(2, 0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from(["10.0.1.1", "10.0.2.1", "10.0.9.1"]), st.integers(-1, 300)),
            st.tuples(st.just("del"), st.just(""), st.integers(-1, 300)),
        ),
        max_size=40,
    )
)
def test_ids_stay_unique_and_workers_hear_the_same_table(steps: list[tuple[str, str, int]]) -> None:
    policy = Policy()
    told: dict[int, messages.Endpoint] = {}
    for verb, address, number in steps:
        try:
            if verb == "add":
                put = policy.add(endpoint(address, number=number), PORTS)
                assert put.endpoint.id not in told
                told[put.endpoint.id] = put.endpoint
            else:
                del told[policy.remove(number).id]
        except PolicyError:
            pass
    assert {e.id: e for e in policy.endpoints} == told
    assert all(1 <= number <= 255 for number in told)
