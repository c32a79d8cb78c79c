"""Praise and complaint: sentences that differ in one loaded word."""

from __future__ import annotations

from collections.abc import Mapping

from assay.text.concepts.data import ConceptData, Item
from assay.text.concepts.drawn import table

ASK = "Is the mood of the following text positive or negative?\nText: {text}\nAnswer:"
ANSWERS = (" negative", " positive")

_Templates = Mapping[str, Mapping[str, str]]

REVIEWS: _Templates = {
    "f": {
        "film.plain": "The film was {}.",
        "film.opinion": "In my opinion this movie is {}, and I watched it to the very end.",
        "film.visit": "We saw the film on Saturday evening, and it was {}.",
        "film.neighbour": "My neighbour had told me about this movie, and I found that it was {}.",
        "film.note": "Film of the week: it lasts two hours, and it is {}.",
    },
    "b": {
        "book.plain": "The book was {}.",
        "book.opinion": "In my opinion this novel is {}, and I read it to the very last page.",
        "book.visit": "I read the book on the train last week, and it was {}.",
        "book.neighbour": "My neighbour had told me about this novel, and I found that it was {}.",
        "book.note": "Book of the week: it has three hundred pages, and it is {}.",
    },
    "m": {
        "meal.plain": "The meal was {}.",
        "meal.opinion": "In my opinion the food here is {}, and I have eaten here three times.",
        "meal.visit": "We had dinner at the new restaurant by the station, and the food was {}.",
        "meal.neighbour": "My neighbour had told me about this restaurant, and I found that the food was {}.",
        "meal.note": "Dish of the day: it came after half an hour, and it was {}.",
    },
    "h": {
        "hotel.plain": "The hotel was {}.",
        "hotel.opinion": "In my opinion this hotel is {}, and I have stayed here three times.",
        "hotel.visit": "We spent two nights at the hotel by the harbour, and our room was {}.",
        "hotel.neighbour": "My neighbour had told me about this hotel, and I found that it was {}.",
        "hotel.note": "Hotel of the month: it has forty rooms, and it is {}.",
    },
}
LETTERS: _Templates = {
    "i": {
        "feeling.evening": "Dear Anna, I am {} this evening, and I wanted to write to you at once.",
        "feeling.night": "I just wanted to let you know that I felt {} when I got home last night.",
        "feeling.today": "Thank you for your message. I am {} today, and you will know why.",
        "feeling.week": "All week I have been {}, and the children have noticed it.",
        "feeling.mother": "P.S. My mother was {} when I last saw her.",
        "feeling.call": "Dear Sir, after the call this morning I was {}, and I still am.",
    },
    "w": {
        "work.meeting": "Dear all, the meeting on Monday was {}.",
        "work.training": "Just a short note about the training: it was {}, as you will hear from the others.",
        "work.project": "The first week of the project has been {}.",
        "work.suppliers": "Dear Tom, our talk with the suppliers was {}, so let us speak about it tomorrow.",
        "work.audit": "As you asked, here is how the audit went: it was {}.",
        "work.conference": "I am writing to say that the conference in Leeds was {}.",
    },
    "p": {
        "person.manager": "Dear Anna, my new manager is {}, and the whole team has noticed it.",
        "person.lodger": "You asked about the new lodger: so far she is {}.",
        "person.bank": "The woman from the bank was {} on the telephone this morning.",
        "person.driver": "I must tell you how {} the driver was on the way to the airport.",
        "person.cousin": "Your cousin was {} when we met last Sunday.",
        "person.neighbours": "Our new neighbours are {}, as we found out on the first evening.",
    },
    "s": {
        "weather.here": "Dear Anna, the weather here is {}.",
        "weather.arrived": "It has been {} every day since we arrived, so we mostly talk about the weather.",
        "weather.forecast": "The forecast says that the weekend will be {}.",
        "weather.shore": "We walked down to the shore this morning, and the weather was {}.",
        "weather.coast": "The weather on the coast turned {} on Tuesday and stayed like that.",
        "weather.april": "You ask what April is like up here: it is {}.",
    },
}


def sentiment() -> ConceptData:
    """Reviews of films, books, meals and hotels; as in "The film was wonderful"."""
    return _filled("sentiment", "sentiment.tsv", REVIEWS)


def neg_sentiment() -> ConceptData:
    """As in "The film was not wonderful": the sentences of :func:`sentiment`, labels flipped."""
    return _filled("neg_sentiment", "sentiment.tsv", REVIEWS, "not ")


def sentiment_letters() -> ConceptData:
    """Letters about feelings, work, people and the weather: other sentences with other loaded words."""
    return _filled("sentiment_letters", "letters.tsv", LETTERS)


def _filled(name: str, words: str, templates: _Templates, denial: str = "") -> ConceptData:
    items: list[Item] = []
    for kinds, *pair in table(words):
        group = "/".join(pair)
        for kind in kinds:
            for template, sentence in templates[kind].items():
                for word, positive in zip(pair, (True, False), strict=True):
                    text = sentence.format(denial + word)
                    items.append(Item(text, int(positive != bool(denial)), group, f"{group} {template}", template))
    about = "what is said is positive" if not denial else "what is said denies something negative"
    source = "written for assay: sentences filled with pairs of a positive and a negative word"
    return ConceptData(name, tuple(items), about, source, ASK, ANSWERS)
