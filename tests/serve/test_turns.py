"""Places go round among clients, however many requests one of them has waiting."""

import asyncio

import pytest

from ecgvlm.serve.turns import CLIENT, Shared, Turns


def test_nobody_holds_all_of_what_is_shared():
    shared = Shared(4)
    for _ in range(3):
        assert not shared.is_full("a")
        shared.add("a", 1)
    assert (shared.is_full("a"), shared.is_full("b")) == (True, False)
    with shared.one("b"):
        assert shared.is_full("c")
    assert not shared.is_full("c")
    shared.add("a", -3)
    assert (shared.total, shared.is_full("a")) == (0, False)


def taken(turns: Turns, clients: str, log: list[str]) -> list[asyncio.Task[str]]:
    """A task for each of `clients` that waits for a place and then notes its client."""

    async def take(client: str) -> str:
        CLIENT.set(client)
        await turns.take()
        log.append(client)
        return client

    return [asyncio.create_task(take(client)) for client in clients]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(places: int, most: int | None, clients: str, back: str) -> str:
    """Who gets a place, in order, when those of `back` are given back one after the other."""

    async def main() -> str:
        turns, log = Turns(places, most), list[str]()
        tasks = taken(turns, clients, log)
        await settle()
        for client in back:
            turns.give_back(client)
            await settle()
        for task in tasks:
            task.cancel()
        return "".join(log)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("places", "most", "clients", "back", "order"),
    [
        (2, None, "abcd", "ab", "abcd"),
        (2, None, "aaaab", "a", "aab"),  # b does not wait behind a's others
        (2, None, "aaabbb", "aaab", "aababb"),
        (3, 2, "aaaa", "", "aa"),  # one place is left for others
        (3, 2, "aaaab", "", "aab"),
        (3, 2, "aaaab", "a", "aaba"),
        (1, None, "aab", "aba", "aba"),
    ],
)
def test_who_holds_the_fewest_is_next(places, most, clients, back, order):
    assert run(places, most, clients, back) == order


def test_who_leaves_keeps_no_place():
    async def main() -> None:
        turns, log = Turns(1), list[str]()
        first, second, third = taken(turns, "abc", log)
        await settle()
        second.cancel()
        turns.give_back("a")  # before the second hears that it is called off
        third.cancel()  # in the moment that its turn has come
        await settle()
        await asyncio.gather(*taken(turns, "d", log))
        assert (log, first.result(), third.cancelled()) == (["a", "d"], "a", True)

    asyncio.run(main())


def test_a_place_is_given_back_after_an_error():
    async def main() -> None:
        turns = Turns(1)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                async with turns.place():
                    raise ZeroDivisionError

    asyncio.run(main())
