"""What the sample data are about: organizations, people, words; the same for the same seed."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Word = bytes | str | int | float
Command = tuple[Word, ...]

MINUTE, HOUR, DAY = 60, 3600, 86_400
_FIRST_NAMES = (
    "ana bruno carla diego elena fabio gabriela hugo ines joao karen luis marina nuno olivia paulo quiteria "
    "rafael sofia tiago ursula vitor wanda xavier yara zeca aisha bjorn chen dmitri"
)
_LAST_NAMES = (
    "silva santos oliveira souza lima pereira costa almeida nunes rocha dias moreira cardoso teixeira "
    "correia andersson okafor tanaka novak schmidt"
)
CITIES = {
    "sao-paulo": (-46.633, -23.55), "rio-de-janeiro": (-43.172, -22.906), "lisboa": (-9.139, 38.722),
    "porto": (-8.611, 41.149), "curitiba": (-49.273, -25.428), "recife": (-34.877, -8.047),
    "berlin": (13.405, 52.52), "tokyo": (139.692, 35.689), "nairobi": (36.817, -1.286), "austin": (-97.743, 30.267),
}  # fmt: skip
ASSETS = ("BRL", "BRL", "BRL", "BRL", "USD", "USD", "EUR", "BTC")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0",
    "okhttp/4.12.0",
)
_WORDS = (
    "ledger payment invoice account balance transfer refund customer order shipment receipt quarter report "
    "monthly annual draft signed overdue settled pending credit debit fee tax discount region store courier"
)
FIRST_NAMES, LAST_NAMES, WORDS = _FIRST_NAMES.split(), _LAST_NAMES.split(), _WORDS.split()


@dataclass(frozen=True)
class Ledger:
    """One ledger of an organization; `tag` is the part both have in a key's name."""

    organization: str
    ledger: str

    @property
    def tag(self) -> str:
        return f"{self.organization}:{self.ledger}"


class World:
    """The source of all that is random, and who there is. `now` is when the data are made, in Unix seconds."""

    def __init__(self, seed: int, *, keys: int) -> None:
        self.random = random.Random(seed)
        self.now = time.time()
        # Made before anything that depends on the time, so that a later run with this seed meets the same ledgers.
        everyone = [Ledger(self.hex_uuid(), self.hex_uuid()) for _ in range(240)]
        owners = [ledger.organization for ledger in everyone]
        # Five ledgers an organization; the first are the same however many keys there are.
        ledgers = [Ledger(owners[n // 5], ledger.ledger) for n, ledger in enumerate(everyone)]
        self.ledgers = ledgers[: max(6, min(240, keys // 800))]

    def hex_uuid(self) -> str:
        """A random UUID (version 4)."""
        text = f"{self.random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def time_uuid(self, at: float) -> str:
        """A UUID (version 7) of a moment in Unix seconds."""
        text = f"{int(at * 1000):012x}{self.random.getrandbits(80):020x}"
        return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-b{text[17:20]}-{text[20:]}"

    def hex_token(self, size: int) -> str:
        return f"{self.random.getrandbits(size * 4):0{size}x}"

    def below(self, limit: int) -> int:
        """A number from 0 to below `limit`."""
        return int(self.random.random() * limit)

    def ago(self, longest: float) -> float:
        """A moment up to `longest` seconds ago, recent ones likelier, in Unix seconds."""
        return self.now - longest * float(self.random.random() ** 2)

    def ttl(self, longest: float) -> int:
        """What is left of a life of `longest` seconds, in milliseconds: long remainders likelier, as after renewals."""
        return 2000 + int(longest * 1000 * float(self.random.random() ** 0.6))

    def person(self, number: int) -> str:
        """The handle of a person; one number is one handle."""
        first, last = FIRST_NAMES[number % len(FIRST_NAMES)], LAST_NAMES[number // 7 % len(LAST_NAMES)]
        return f"{first}.{last}.{number}"

    def money(self, limit: int) -> str:
        return f"{self.below(limit)}.{self.below(100):02d}"

    def sentence(self, words: int) -> str:
        return " ".join(WORDS[self.below(len(WORDS))] for _ in range(words))


@dataclass(frozen=True)
class Kind:
    """One sort of key: `make` gives the commands that write the n-th one, without its TTL.

    `share` is its part of all keys, but for `at_most`: of what lives briefly, more could not be kept up. `life` is the
    longest TTL in seconds, 0 for what stays.
    """

    share: float
    make: Callable[[World, int], Iterable[Command]]
    life: float = 0
    at_most: int = 1_000_000_000

    def write(self, world: World, number: int) -> Iterator[Command]:
        """The commands that write the n-th key, with its TTL."""
        name: Word = ""
        for command in self.make(world, number):
            if self.life and command[0] == "SET":
                yield *command, "PX", world.ttl(self.life)
                return
            yield command
            name = command[1]
        if self.life:
            yield "PEXPIRE", name, world.ttl(self.life)


def iso(moment: float) -> str:
    """A moment as RFC 3339, in UTC with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


def day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
