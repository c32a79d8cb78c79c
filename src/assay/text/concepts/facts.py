"""Facts that are true or false: cities and their countries, foreign words and their meanings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, TypeVar

from assay.text.concepts.data import ConceptData, Item
from assay.text.concepts.drawn import shuffled, table

ASK = "Is the following statement true or false?\nStatement: {text}\nAnswer:"
ANSWERS = (" false", " true")

T = TypeVar("T")

# Places named their towns after one another's cities (there is a Paris in Texas and a Barcelona in Venezuela), so a
# city of the first kind is never said to be in a country of the kinds behind it.
KIN: Mapping[str, frozenset[str]] = {
    "english": frozenset({"english"}),
    "european": frozenset({"english"}),
    "iberian": frozenset({"english", "iberian"}),
    "-": frozenset(),
}
# The other cities with a namesake of some size.
NAMESAKES = frozenset({"Aleppo", "Cairo", "Damascus", "Delhi", "Lagos", "Mecca", "Oran", "Tangier", "Tunis"})


class City(NamedTuple):
    """A city, its country with the article if it has one, and the places that its country shares names with."""

    name: str
    country: str
    kin: str


class Word(NamedTuple):
    """A foreign word; ``kind`` is noun, adjective or verb."""

    word: str
    meaning: str
    language: str
    kind: str


def cities() -> ConceptData:
    """As in "The city of Paris is in France", true and false."""
    return _cities("cities", "The city of {} is in {}.", negated=False)


def neg_cities() -> ConceptData:
    """As in "The city of Paris is not in France": the cities and countries of :func:`cities`, labels flipped."""
    return _cities("neg_cities", "The city of {} is not in {}.", negated=True)


def translations() -> ConceptData:
    """As in "The Spanish word 'perro' means 'dog'", true and false."""
    return _translations("translations", "The {} word '{}' means '{}'.", negated=False)


def neg_translations() -> ConceptData:
    """As in "The Spanish word 'perro' does not mean 'dog'": the words of :func:`translations`, labels flipped."""
    return _translations("neg_translations", "The {} word '{}' does not mean '{}'.", negated=True)


def city_list() -> list[City]:
    """The cities, in the order of their list."""
    return [City(name, country, kin) for kin, country, names in table("cities.tsv") for name in names.split(", ")]


def foreign_words() -> list[Word]:
    """The foreign words, in the order of their list."""
    return [
        Word(word, meaning, language, kind)
        for language, kind, entries in table("translations.tsv")
        for word, _, meaning in (entry.partition("=") for entry in entries.split(", "))
    ]


def couples(things: Sequence[T], values: Sequence[str], barred: Sequence[Set[str]], key: object) -> list[list[T]]:
    """The things in twos that can exchange their values, and the last of an odd number as the third of one.

    Two can if neither's value is barred for the other. Each in turn, those with the fewest possible partners first,
    takes the first partner that is left; ties and the order in which partners are looked for are by hash.

    Raises:
        ValueError: something can go with nothing that is left.
    """
    order = shuffled(range(len(things)), "couples", key)
    choices = {i: [j for j in order if values[j] not in barred[i] and values[i] not in barred[j]] for i in order}
    order.sort(key=lambda i: len(choices[i]))
    partner: dict[int, int] = {}
    alone: list[int] = []
    for i in order:
        if i in partner:
            continue
        free = [j for j in choices[i] if j not in partner and j not in alone]
        if free:
            partner[i], partner[free[0]] = free[0], i
        else:
            alone.append(i)
    made = [[i, j] for i, j in partner.items() if i < j]
    if len(alone) > len(things) % 2:
        raise ValueError(f"nothing left for {things[alone[0]]}")
    for i in alone:
        third = next((couple for couple in made if set(couple) <= set(choices[i])), None)
        if third is None:
            raise ValueError(f"no couple for {things[i]}")
        third.append(i)
    return [[things[i] for i in members] for members in sorted(made)]


def _cities(name: str, template: str, *, negated: bool) -> ConceptData:
    known = city_list()
    made = couples(known, [city.country for city in known], [_barred(city, known) for city in known], "cities")
    facts = [
        _Fact(city.name, template.format(city.name, city.country), template.format(city.name, other.country), group)
        for city, other, group in _exchanged(made, lambda city: city.name)
    ]
    return _facts(name, facts, negated, "cities and their countries", "cities exchange their countries")


def _translations(name: str, template: str, *, negated: bool) -> ConceptData:
    alike: dict[tuple[str, str], list[Word]] = {}
    for word in foreign_words():
        alike.setdefault((word.language, word.kind), []).append(word)
    made = [
        couple
        for key, words in alike.items()
        for couple in couples(words, [word.meaning for word in words], [{word.meaning} for word in words], key)
    ]
    facts = [
        _Fact(
            word.word,
            template.format(word.language, word.word, word.meaning),
            template.format(word.language, word.word, other.meaning),
            group,
        )
        for word, other, group in _exchanged(made, lambda word: word.word)
    ]
    how = "nouns, adjectives or verbs of one language exchange their meanings"
    return _facts(name, facts, negated, "Spanish, French and German words and their meanings", how)


class _Fact(NamedTuple):
    pair: str
    right: str
    wrong: str
    group: str


def _barred(city: City, known: Iterable[City]) -> Set[str]:
    """The countries that the city is in, or may have a namesake in."""
    kin = set(KIN[city.kin]) | ({"english", "iberian"} if city.name in NAMESAKES else set[str]())
    return {city.country} | {other.country for other in known if other.kin in kin}


def _exchanged(made: Iterable[Sequence[T]], name: Callable[[T], str]) -> Iterator[tuple[T, T, str]]:
    """Each thing of the couples with the one whose value it takes, and the name of its couple."""
    for members in made:
        group = " & ".join(map(name, members))
        for i, thing in enumerate(members):
            yield thing, members[(i + 1) % len(members)], group


def _facts(name: str, facts: Iterable[_Fact], negated: bool, what: str, wrong: str) -> ConceptData:
    items = [
        Item(text, int(right != negated), fact.group, fact.pair, name)
        for fact in facts
        for text, right in ((fact.right, True), (fact.wrong, False))
    ]
    about = "the sentence, which denies something, is true" if negated else "the sentence is true"
    source = f"written for assay: {what}; for the false sentences {wrong} in twos, which are the groups"
    return ConceptData(name, tuple(items), about, source, ASK, ANSWERS)
