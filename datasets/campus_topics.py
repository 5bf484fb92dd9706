"""What the simulated campus teaches: subjects, their topics, and the words that courses on a topic are told in."""

from collections.abc import Mapping
from typing import Final

Topics = Mapping[str, tuple[str, ...]]

SUBJECTS: Final[Mapping[str, Topics]] = {
    "Data": {
        "SQL": ("queries", "joins", "tables", "indexes"),
        "Statistics": ("probability", "samples", "regression", "confidence intervals"),
        "Machine Learning": ("models", "features", "training sets", "gradient descent"),
        "Data Visualisation": ("charts", "dashboards", "scales", "storytelling with data"),
        "Data Engineering": ("pipelines", "warehouses", "streams", "schemas"),
        "Time Series": ("forecasts", "seasonality", "trends", "autocorrelation"),
        "A/B Testing": ("experiments", "hypotheses", "significance", "conversion rates"),
        "Natural Language Processing": ("tokens", "embeddings", "transformers", "text corpora"),
    },
    "Programming": {
        "Python": ("functions", "modules", "generators", "scripts"),
        "JavaScript": ("browsers", "promises", "callbacks", "the event loop"),
        "Rust": ("ownership", "lifetimes", "traits", "memory safety"),
        "Web Backends": ("requests", "REST interfaces", "sessions", "caches"),
        "Mobile Apps": ("screens", "gestures", "app stores", "notifications"),
        "Algorithms": ("sorting", "graphs", "recursion", "complexity"),
        "DevOps": ("containers", "deployments", "monitoring", "infrastructure as code"),
        "Software Testing": ("unit tests", "mocks", "coverage", "continuous integration"),
    },
    "Business": {
        "Project Management": ("milestones", "risks", "stakeholders", "agile boards"),
        "Marketing": ("campaigns", "audiences", "brands", "search engines"),
        "Accounting": ("ledgers", "balance sheets", "taxes", "audits"),
        "Entrepreneurship": ("business plans", "investors", "pricing", "first customers"),
        "Leadership": ("teams", "motivation", "delegation", "difficult conversations"),
        "Negotiation": ("offers", "interests", "deadlines", "agreements"),
        "Finance": ("portfolios", "interest rates", "bonds", "valuation"),
        "Spreadsheets": ("formulas", "pivot tables", "macros", "cells"),
    },
    "Design": {
        "Typography": ("letterforms", "grids", "kerning", "type families"),
        "Colour Theory": ("palettes", "contrast", "harmony", "hues"),
        "User Interviews": ("questions", "personas", "usability", "field notes"),
        "Wireframing": ("layouts", "prototypes", "flows", "sketches"),
        "Illustration": ("line work", "composition", "characters", "brushes"),
        "Motion Design": ("keyframes", "easing", "transitions", "animation"),
        "Brand Identity": ("logos", "guidelines", "tone of voice", "packaging"),
        "Accessibility": ("screen readers", "keyboard use", "captions", "inclusive design"),
    },
    "Languages": {
        "Conversational French": ("greetings", "French pronunciation", "travel", "everyday dialogue"),
        "Business English": ("meetings", "emails", "presentations", "vocabulary"),
        "Mandarin": ("tones", "characters", "pinyin", "measure words"),
        "Japanese": ("kana", "kanji", "particles", "politeness"),
        "Italian": ("verbs", "articles", "cooking words", "Italian cinema"),
        "Arabic": ("script", "roots", "dialects", "calligraphy"),
        "Korean": ("hangul", "honorifics", "drama dialogue", "sentence endings"),
        "Sign Language": ("handshapes", "facial expression", "fingerspelling", "deaf culture"),
    },
    "Science": {
        "Astronomy": ("stars", "galaxies", "telescopes", "planets"),
        "Genetics": ("genes", "inheritance", "DNA", "mutations"),
        "Quantum Physics": ("wave functions", "spin", "measurement", "entanglement"),
        "Organic Chemistry": ("reactions", "bonds", "molecules", "catalysts"),
        "Neuroscience": ("neurons", "synapses", "perception", "memory"),
        "Climate Science": ("the atmosphere", "oceans", "carbon", "feedback loops"),
        "Linear Algebra": ("vectors", "matrices", "eigenvalues", "projections"),
        "Calculus": ("limits", "derivatives", "integrals", "series"),
    },
    "Music": {
        "Guitar": ("chords", "strumming", "fingerpicking", "riffs"),
        "Piano": ("scales", "sight reading", "arpeggios", "pedalling"),
        "Music Theory": ("intervals", "harmony", "counterpoint", "modes"),
        "Songwriting": ("lyrics", "melodies", "hooks", "verses"),
        "Audio Production": ("mixing", "equalisers", "microphones", "mastering"),
        "Jazz Improvisation": ("swing", "solos", "chord changes", "phrasing"),
        "Singing": ("breath", "pitch", "resonance", "warm-ups"),
        "Film Scoring": ("cues", "orchestration", "themes", "spotting sessions"),
    },
    "Health": {
        "Nutrition": ("vitamins", "meal plans", "digestion", "food labels"),
        "Yoga": ("poses", "breathing", "balance", "flexibility"),
        "Meditation": ("attention", "stillness", "habits", "stress relief"),
        "First Aid": ("emergencies", "bandages", "resuscitation", "burns"),
        "Psychology": ("behaviour", "emotions", "therapy", "cognition"),
        "Strength Training": ("squats", "programming sets", "recovery", "progressive overload"),
        "Sleep": ("circadian rhythms", "insomnia", "routines", "dreams"),
        "Nursing": ("patients", "vital signs", "wards", "medication"),
    },
}  # fmt: skip

LEVELS: Final = ("beginner", "intermediate", "advanced")

TITLES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "English": (
        ("{} from Scratch", "{} for Everyone"),
        ("{} in Practice", "A {} Workshop"),
        ("Advanced {}", "Mastering {}"),
    ),
    "Spanish": (("Introducción a {}",), ("{} en la práctica",), ("{} avanzado",)),
    "German": (("Einführung in {}",), ("{} in der Praxis",), ("{} für Fortgeschrittene",)),
}

TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "English": (
        "A first course in {topic} for complete beginners: {first} and {second}, step by step.",
        "Put {topic} to work in projects of your own, with {first}, {second} and {third}.",
        "For experienced learners of {topic}: {second}, {third} and {fourth} in depth, with case studies.",
    ),
    "Spanish": (
        "Un primer curso de {topic} para principiantes: {first}, {second}.",
        "Proyectos de {topic} con {first}, {second} y {third}.",
        "{topic} para expertos: {second}, {third}, {fourth}.",
    ),
    "German": (
        "Ein erster Kurs in {topic} von Grund auf: {first}, {second}.",
        "Projekte mit {topic}: {first}, {second} und {third}.",
        "{topic} für Erfahrene: {second}, {third}, {fourth}.",
    ),
}
