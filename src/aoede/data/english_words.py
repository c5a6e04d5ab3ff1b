"""English word lists: abbreviations, units, currencies, symbols and what they are called.

Owns the tables that `english.py` applies and that `text.py` asks whether a dot ends a sentence. No rules here.
"""

MONTHS = ["January", "February", "March", "April", "May", "June"]
MONTHS += ["July", "August", "September", "October", "November", "December"]

WEEKDAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thur": "Thursday",
    "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
    "Weds": "Wednesday",
}  # fmt: skip
"""Short for a day, where a dot, a date or another day stands beside it."""

TITLES = {
    "mr": "Mister", "mrs": "Missis", "ms": "Miz", "dr": "Doctor", "prof": "Professor", "rev": "Reverend",
    "fr": "Father", "gen": "General", "col": "Colonel", "maj": "Major", "capt": "Captain", "cpt": "Captain",
    "lt": "Lieutenant", "sgt": "Sergeant", "cmdr": "Commander", "gov": "Governor", "sen": "Senator",
    "rep": "Representative", "hon": "Honorable", "pres": "President", "messrs": "Messieurs", "mme": "Madame",
    "mt": "Mount", "st": "Saint", "ft": "Fort", "msgr": "Monsignor",
}  # fmt: skip
"""Abbreviations before a name: a dot after them never ends a sentence."""

ABBREVIATIONS = {
    "jr": "Junior", "sr": "Senior", "etc": "et cetera", "vs": "versus", "inc": "Incorporated", "ltd": "Limited",
    "co": "Company", "corp": "Corporation", "dept": "department", "est": "established", "approx": "approximately",
    "ave": "Avenue", "blvd": "Boulevard", "rd": "Road", "bros": "Brothers", "assn": "association",
    "univ": "University", "misc": "miscellaneous", "incl": "including", "tel": "telephone", "ext": "extension",
    "max": "maximum", "min": "minimum", "avg": "average", "cf": "compare", "viz": "namely", "ca": "circa",
    "et al": "and others",
}  # fmt: skip
"""Abbreviations whose dot may also end the sentence."""

BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "vol": "volume", "ch": "chapter",
    "p": "page", "pp": "pages", "sec": "section", "eq": "equation", "art": "article", "pt": "part",
    "apt": "apartment", "rm": "room", "ver": "version", "para": "paragraph", "c": "circa", "ca": "circa",
    "hwy": "highway", "rte": "route",
}  # fmt: skip
"""Abbreviations only when a number follows ("No. 5", but "No. Never.")."""

DOTTED = {
    "e.g": "for example", "i.e": "that is", "a.m": "AM", "p.m": "PM", "a.k.a": "also known as", "p.s": "PS",
    "p.a": "per annum",
}  # fmt: skip
"""Abbreviations with dots inside, without the last one; others of that form are spelled (U.S.)."""

ACRONYMS = {
    "RAM": "ram", "ROM": "rom", "PIN": "pin", "ASAP": "A-SAP", "ARM": "arm", "LASER": "laser", "RADAR": "radar",
    "JPEG": "jay-peg", "SIM": "sim", "GIF": "gif", "NGINX": "engine X", "WYSIWYG": "whizzy wig",
    **{name: " ".join(name) for name in ("LED", "VIP", "FAQ", "ICU", "IQ", "ETA", "AWS", "ER", "UX", "QA", "EQ")},
}  # fmt: skip
"""Acronyms that espeak spells and people say, or the other way round; all others are left to it."""

UNSPOKEN_STROKES = ["N/A", "I/O", "A/C", "A/B", "AC/DC", "TCP/IP", "CI/CD"]
"""Names with a stroke that nobody says."""

SMALL_WORDS = frozenset([
    "the", "and", "you", "is", "it", "to", "of", "in", "on", "for", "not", "no", "now", "we", "my", "do", "are", "was",
    "this", "that", "all", "your", "be", "or", "if", "but", "at", "from", "have", "he", "she", "they", "with", "by",
])  # fmt: skip
"""Words that tell a shouted sentence from a list of acronyms."""

PERIODS = {"Y": "year", "Q": "quarter", "M": "month"}
"""What YoY, QoQ and MoM compare."""

UNITS = {
    "km": "kilometre", "cm": "centimetre", "mm": "millimetre", "µm": "micrometre", "nm": "nanometre", "m": "metre",
    "kg": "kilogram", "mg": "milligram", "µg": "microgram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "ft": "foot/feet", "yd": "yard", "yds": "yard", "mi": "mile", "ha": "hectare",
    "sq ft": "square foot/square feet", "sq m": "square metre", "sq km": "square kilometre", "sq mi": "square mile",
    "mph": "mile per hour/miles per hour", "kph": "kilometre per hour/kilometres per hour",
    "fps": "frame per second/frames per second", "rpm": "RPM/RPM", "bpm": "BPM/BPM", "dpi": "DPI/DPI",
    "GHz": "gigahertz/gigahertz", "MHz": "megahertz/megahertz", "kHz": "kilohertz/kilohertz", "Hz": "hertz/hertz",
    "kt": "knot", "kts": "knot", "atm": "atmosphere", "ly": "light year", "pts": "point",
    "mmHg": "millimetre of mercury/millimetres of mercury", "mcg": "microgram", "fl oz": "fluid ounce",
    "mpg": "mile per gallon/miles per gallon", "Tsp": "teaspoon", "Tbsp": "tablespoon",
    "Mb": "megabit", "Gb": "gigabit",
    "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte",
    "PB": "petabyte", "KiB": "kibibyte", "MiB": "mebibyte", "GiB": "gibibyte",
    "kbps": "kilobit per second/kilobits per second", "Mbps": "megabit per second/megabits per second",
    "Gbps": "gigabit per second/gigabits per second", "kbit": "kilobit", "Mbit": "megabit", "Gbit": "gigabit",
    "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "W": "watt", "kWh": "kilowatt hour", "MWh": "megawatt hour",
    "Wh": "watt hour", "V": "volt", "kV": "kilovolt", "mV": "millivolt", "mA": "milliamp", "mAh": "milliamp hour",
    "kΩ": "kilohm", "MΩ": "megohm", "Ω": "ohm", "dB": "decibel", "kPa": "kilopascal", "hPa": "hectopascal",
    "Pa": "pascal", "kcal": "kilocalorie", "cal": "calorie", "kJ": "kilojoule", "ns": "nanosecond",
    "ppm": "part per million/parts per million", "µs": "microsecond", "ms": "millisecond", "s": "second",
    "sec": "second", "secs": "second", "min": "minute", "mins": "minute", "h": "hour", "hr": "hour", "hrs": "hour",
    "wk": "week", "wks": "week", "mo": "month", "mos": "month", "yr": "year", "yrs": "year",
    "l": "litre", "L": "litre", "dl": "decilitre", "dL": "decilitre", "ml": "millilitre", "mL": "millilitre",
    "tsp": "teaspoon", "tbsp": "tablespoon", "gal": "gallon", "qt": "quart", "pcs": "piece", "px": "pixel",
    "°C": "degree Celsius/degrees Celsius", "°F": "degree Fahrenheit/degrees Fahrenheit", "°": "degree",
}  # fmt: skip
"""Unit after a number: "singular" (plural with s) or "singular/plural"."""

LENGTHS = ["mm", "cm", "m", "km", "ft", "in", "inch", "inches", "yd"]
"""Units between which an x is a "by"."""

IMPERIAL = ["lb", "lbs", "oz", "fl", "pt", "pint", "pints", "in", "inches", "ft", "cup", "cups"]
"""What a metric amount of a recipe is given in again after a stroke."""

CONTAINERS = [
    "can", "tin", "jar", "bag", "pack", "packet", "bottle", "box", "carton", "stick", "tub", "film", "supply", "round",
    "bullet", "lens", "tablet", "capsule",
]  # fmt: skip
"""Nouns before which a measure stands in the singular: two four hundred gram cans."""

COMPASS = {"N": "north", "S": "south", "E": "east", "W": "west"}
"""What a letter after degrees stands for."""

PER = {
    **{name: name for name in ("second", "minute", "hour", "day", "night", "week", "month", "year", "person", "head")},
    **{name: name for name in ("mile", "litre", "liter", "gallon", "pound", "ounce", "ton", "acre", "share", "seat")},
    **{name: name for name in ("unit", "item", "piece", "user", "page", "word", "call")},
    "s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "wk": "week", "mo": "month",
    "yr": "year", "kg": "kilogram", "g": "gram", "lb": "pound", "oz": "ounce", "l": "litre", "L": "litre",
    "ml": "millilitre", "mL": "millilitre", "dL": "decilitre", "gal": "gallon", "m": "metre", "km": "kilometre",
    "cm": "centimetre", "mi": "mile", "GB": "gigabyte", "MB": "megabyte", "kWh": "kilowatt hour", "px": "pixel",
    "sq ft": "square foot", "bbl": "barrel",
}  # fmt: skip
"""What may stand under the stroke of a price or a rate: $20/hour, 16 MB/s."""

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"), "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"), "₽": ("rouble", "roubles", "kopeck", "kopecks"),
    "₩": ("won", "won", "jeon", "jeon"), "₺": ("lira", "lira", "kurus", "kurus"), "₫": ("dong", "dong", "hao", "hao"),
    "₴": ("hryvnia", "hryvnias", "kopiyka", "kopiykas"), "₦": ("naira", "naira", "kobo", "kobo"),
    "₱": ("peso", "pesos", "centavo", "centavos"), "₪": ("shekel", "shekels", "agora", "agorot"),
    "฿": ("baht", "baht", "satang", "satang"), "₿": ("bitcoin", "bitcoins", "cent", "cents"),
}  # fmt: skip
"""Sign to (one, many, one small coin, many small coins)."""

MAGNITUDES = {
    "k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "tn": "trillion",
    "trn": "trillion",
}  # fmt: skip

SYMBOLS = {
    **{sign: names[1] for sign, names in CURRENCIES.items()},
    "&": "and", "%": "percent", "@": "at", "+": "plus", "=": "equals", "<": "is less than", ">": "is greater than",
    "≤": "is at most", "≥": "is at least", "≠": "does not equal", "≈": "is about", "×": "times", "÷": "divided by",
    "±": "plus or minus", "√": "the square root of", "∞": "infinity", "§": "section", "©": "copyright",
    "®": "registered", "™": "trademark", "°": "degrees", "²": "squared", "³": "cubed", "‰": "per mille", "µ": "micro",
    "→": "to", "←": "from", "↑": "up", "↓": "down", "\\": "backslash", "¢": "cents", "#": "hash", "/": "slash",
    "~": "about", "^": "caret", "∑": "the sum of", "∫": "the integral of", "∂": "partial", "∈": "in", "∀": "for all",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "gamma", "Δ": "delta",
    "Θ": "theta", "Λ": "lambda", "Ξ": "xi", "Π": "pi", "Σ": "sigma", "Φ": "phi", "Ψ": "psi", "Ω": "omega",
}  # fmt: skip
"""Symbols that have a name when nothing else has read them."""

BOUNDS = {"<": "less than", ">": "more than", "≤": "at most", "≥": "at least"}
"""The same signs right before a number, with nothing that is compared: >50% of users."""

FUNCTIONS = {"sin": "sine", "cos": "cosine", "tan": "tangent"}

IN_ADDRESS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "=": "equals", "&": "and",
    "#": "hash", "%": "percent", ":": "colon", "~": "tilde", "@": "at", "+": "plus",
}  # fmt: skip
"""Names of the marks of URLs and e-mail addresses."""

SUFFIXES = [
    "com", "org", "net", "edu", "gov", "mil", "io", "dev", "info", "biz", "app", "ai", "tv", "eu", "uk", "co.uk",
    "de", "fr", "ru", "nl", "jp", "cn", "pl", "se", "cz", "au", "ca", "ch", "es", "xyz", "blog", "online", "site",
    "shop", "store",
]  # fmt: skip
"""Ends of an address that is written without www; those that are words of English (it, in, me) are not here."""

NUMBERED = ["order", "invoice", "ticket", "case", "item", "part", "model", "reference", "ref", "tracking", "claim"]
"""What has a number and no hashtag: order #A12."""

FILE_SUFFIXES = [
    "pdf", "jpg", "jpeg", "png", "gif", "svg", "webp", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "txt", "csv",
    "tsv", "json", "jsonl", "yaml", "yml", "xml", "html", "htm", "css", "js", "ts", "py", "rs", "java", "cpp",
    "md", "zip", "gz", "tar", "rar", "exe", "dll", "dmg", "apk", "iso", "mp3", "mp4", "wav", "flac", "ogg", "mov",
    "avi", "mkv", "sh", "bat", "ini", "cfg", "conf", "log", "sql", "db", "ipynb", "tex", "epub", "psd", "bin",
    "safetensors", "onnx", "toml",
]  # fmt: skip
"""Ends of file names, which are read with a "dot"."""

EITHER = [
    "he", "she", "him", "her", "his", "hers", "yes", "no", "true", "false", "on", "off", "pass", "fail", "win",
    "lose", "male", "female", "boy", "girl", "day", "night",
]  # fmt: skip
"""Words between which a stroke is an "or"."""

ROYAL = [
    "Henry", "Louis", "Charles", "George", "Edward", "Richard", "James", "William", "Elizabeth", "Mary", "Philip",
    "Frederick", "Napoleon", "Alexander", "Nicholas", "Peter", "Catherine", "Paul", "Benedict", "Pius", "Leo",
    "Gregory", "Clement", "Innocent", "Urban", "Francis", "Ferdinand", "Wilhelm", "Friedrich", "Leopold",
    "Albert", "Otto", "Ivan", "Carl", "Gustav", "Christian", "Harald", "Haakon", "Felipe", "Alfonso", "Darius",
    "Xerxes", "Ramses", "Ramesses", "Ptolemy", "Suleiman", "Mehmed", "Murad", "Casimir", "Stephen", "Haldric",
    "Konrad",
]  # fmt: skip
"""Names whose Roman numeral is an ordinal: Henry the eighth."""

COUNTED = [
    "chapter", "part", "volume", "book", "act", "scene", "section", "phase", "war", "type", "class", "level",
    "appendix", "page", "figure", "table", "bowl", "grade", "stage", "mark", "episode", "lesson", "unit", "season",
    "round", "group", "article", "title",
]  # fmt: skip
"""Words whose Roman numeral is a cardinal: chapter four."""

MODELS = ["Boeing", "Airbus", "Porsche", "Peugeot", "Levi's", "RTX", "GTX", "[Ff]light", "[Ff]light [A-Z]{2}"]
"""What stands before a number that is said in pairs: a Porsche nine eleven, flight fifteen forty-nine."""

STATES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "DC": "DC", "FL": "Florida", "GA": "Georgia", "HI": "Hawaii", "ID": "Idaho",
    "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine",
    "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota", "MS": "Mississippi", "MO": "Missouri",
    "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico",
    "NY": "New York", "NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon",
    "PA": "Pennsylvania", "RI": "Rhode Island", "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee",
    "TX": "Texas", "UT": "Utah", "VT": "Vermont", "VA": "Virginia", "WA": "Washington", "WV": "West Virginia",
    "WI": "Wisconsin", "WY": "Wyoming",
}  # fmt: skip
"""States of the USA before a code of the post; without one, "OK" and "ME" are mostly something else."""
