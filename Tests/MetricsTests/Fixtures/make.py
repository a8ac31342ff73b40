"""Makes metrics.json: pairs of texts, and what sacrebleu, rouge-score and NLTK's edit distance say of them.

    pip install sacrebleu==2.6.0 rouge-score==0.1.2
    python make.py
"""

import itertools
import json
from pathlib import Path

from nltk.metrics.distance import edit_distance
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

# A hypothesis, then its references.
PAIRS = [
    # Plain ones, alike to different degrees
    ("The cat sat on the mat.", "The cat sat on the mat."),
    ("The cat sat on the mat.", "A cat was sitting on the mat."),
    ("the the the the the the the", "The cat is on the mat.", "There is a cat on the mat."),
    ("It is a guide to action which ensures that the military always obeys the party.",
     "It is a guide to action that ensures that the military will forever heed Party commands.",
     "It is the guiding principle which guarantees the military forces always being under the "
     "command of the Party.",
     "It is the practical guide for the army always to heed the directions of the party."),
    ("Completely different words here", "Nothing of this matches any"),
    ("Die Datei konnte nicht geöffnet werden.", "Die Datei kann nicht geöffnet werden."),
    ("Das Verzeichnis ist nicht leer", "Verzeichnis nicht leer", "Das Verzeichnis war leer"),
    ("one two three four five six", "six five four three two one"),
    ("a a a b b c", "a b c a b a", "c c c b a a a a"),
    # Nothing, and little
    ("", "Something is here."),
    ("Something is here.", ""),
    ("", ""),
    ("   \t ", " \n"),
    ("", "", "word"),
    ("word", "word"),
    ("word", "other", "word word"),
    ("two words", "two words"),
    ("three short words", "three short words and more"),
    (".", "."),
    ("!", "?"),
    ("a", "A"),
    # Digits, periods, commas, dashes
    ("It costs 1,000.50 dollars, not 3.14.", "It costs 1,000.50 dollars , not 3.14 ."),
    (".5 is 0.5, and 5. is 5.0", "0.5 is .5 and 5. is 5"),
    ("1.,2 ,, .. 3,.4", "1 . , 2 , , . . 3 , . 4"),
    ("On 2020-01-02, pages 10-20, a well-known 3-fold case-2", "On 2020 - 01 - 02 pages 10 - 20"),
    ("Version 1.2.3-rc.4 (5.6)", "Version 1.2.3 - rc.4 ( 5.6 )", "version 1.2.3"),
    ("...", "…"),
    ("e.g. the U.S. and i.e. Mr. X", "e. g. the U. S. and i. e. Mr. X"),
    ("٣.٥ and ３．５", "٣ . ٥ and ３ ． ５"),
    ("½.½ x,y é.é", "½ . ½ x , y é . é"),
    # Quotes, brackets, symbols
    ("\"Quoted,\" he said, 'twice'.", "\" Quoted , \" he said , 'twice' ."),
    ("„Guten Tag“, sagte er – ‚so‘.", "\"Guten Tag\", sagte er - 'so'."),
    ("don't can't it's users'", "do n't can 't it 's users '"),
    ("(hi) [there] {you} <b>x</b>", "( hi ) [ there ] { you } < b > x < / b >"),
    ("a+b=c*d/e\\f^g_h`i~j|k", "a + b = c * d / e \\ f ^ g _ h ` i ~ j | k"),
    ("x@y.org, http://a.b/c?d=e&f#g; 50% $5!", "x @ y.org , http : / / a.b / c ? d = e & f # g"),
    ("--help -v --file=NAME", "-- help - v -- file = NAME"),
    # Mark-up
    ("&quot;A&quot; &amp; &lt;B&gt;", "\"A\" & <B>"),
    ("&amp;lt; &amp;quot; &amp;amp; &apos;", "< &quot; &amp; '"),
    ("skip<skipped>ped -<skipped>\nword", "skipped word", "skip ped - word"),
    ("hyphen-\nated and\nnew\r\nlines", "hyphenated and new lines"),
    ("ends with a hyphen-\n", "ends with a hyphen-", "ends with a hyphen"),
    # White space of all kinds
    ("no\u00a0break thin\u2009space wide\u3000space", "no break thin space wide space"),
    ("unit\x1fseparator next\x85line line\u2028separator", "unit separator next line line separator"),
    ("zero\u200bwidth \ufeffmark og\u1680ham math\u205fspace", "zero width mark og ham math space"),
    ("  leading  and trailing  \u3000", "leading and trailing"),
    # Other scripts, combining marks, cases
    ("今日は良い天気です。", "今日はいい天気ですね。", "今日は 天気 が いい"),
    ("我喜欢机器学习，你呢？", "我喜歡機器學習，你呢？"),
    ("Привет, мир!", "ПРИВЕТ МИР"),
    ("مرحبا بالعالم، كيف؟", "مرحبا بالعالم"),
    ("café Ångström", "cafe\u0301 A\u030angstro\u0308m"),
    ("\u212b \u212a \ufb01n", "Å K fin", "å k fin"),
    ("İstanbul ISTANBUL ıİ", "i̇stanbul istanbul ıi̇"),
    ("ΟΔΟΣ ΣΑΣ Σ ΑΣ. ΑΣ'Α Α\u0301Σ", "οδος σας σ ας. ασ'α α\u0301ς"),
    ("STRASSE Straße STRAẞE", "straße strasse straße"),
    ("👩\u200d👩\u200d👧 🇩🇪 👍🏽", "👩 👧 🇩 🇪 👍"),
    ("ǅ Ⅷ Ａ 𐐀", "ǆ ⅷ ａ 𐐨"),
    # Lines, for ROUGE-Lsum
    ("police killed the gunman\nthe gunman was shot", "the gunman police killed\nhe was shot dead",
     "the gunman was shot down by police"),
    ("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5"),
    ("a b a c\n\n--\nb a c a", "c a b a b\na a b\n"),
    ("The second line.\nThe first one!", "the first one\nthe second line", "the second\none line"),
    ("a b\nb a\na a", "b a b\na", "a b a\nb b"),
    ("b c a d\nd a b", "a b c d a\nc d b"),
    ("Several references whose lengths are as near", "Several references of length",
     "Several references whose lengths are as far off as possible", "Several"),
]

LOWERCASE = [text for pair in PAIRS for text in pair if text != text.lower()]

SMOOTHINGS = [("none", None), ("exp", None), ("floor", 0.1), ("add-k", 1.0), ("floor", 0.37),
              ("add-k", 0.5)]

CANDIDATES = [
    ["the cat sat on the mat", "a cat sat on the mat", "the cat sat on a mat", "dogs bark"],
    ["yes", "no", "no", "yes"],
    ["", "", "a word"],
    ["Die Datei ist leer.", "Die Datei ist nicht leer.", "Datei ist leer", "Die Datei war leer .", "Leer!"],
    ["alone"],
    ["x y", "x z", "w y", "x y z", "w y z"],
    ["CAFÉ au lait", "café au lait", "cafe\u0301 au lait", "Kaffee mit Milch"],
]
WEIGHTS = [0.5, 0.125, 1, 0, 2.25]


def corpora(hypotheses, references):
    """Numbers of pairs, and how many references are taken at most: all pairs; such without matches of three words; such
    of less than three words."""
    scores = [BLEU(effective_order=True).sentence_score(text, several) for text, several in zip(hypotheses, references)]
    everything = range(len(scores))
    sparse = [i for i in everything if scores[i].counts[0] > 0 == scores[i].counts[2] < scores[i].totals[2]]
    short = [i for i in everything if scores[i].sys_len < 3]
    assert len(sparse) > 3 < len(short)
    return [{"pairs": list(pairs), "references": count}
            for pairs, count in [(everything, 1), (everything, 9), (sparse, 9), (short, 9)]]


def corpus_scores(metric, hypotheses, references):
    """The score and the signature of each corpus."""
    for corpus in corpora(hypotheses, references):
        several = [references[i][:corpus["references"]] for i in corpus["pairs"]]
        score = metric.corpus_score([hypotheses[i] for i in corpus["pairs"]],
                                    list(itertools.zip_longest(*several)))
        yield score, str(metric.get_signature())


def bleu(hypotheses, references):
    for tokenizer, lowercases, (smoothing, value), effective in itertools.product(
            ["13a", "none"], [False, True], SMOOTHINGS, [False, True]):
        metric = BLEU(lowercase=lowercases, tokenize=tokenizer, smooth_method=smoothing,
                      smooth_value=value, effective_order=effective)
        entry = {"tokenizer": tokenizer, "lowercases": lowercases, "smoothing": smoothing,
                 "value": value or 0, "effective": effective, "corpora": [], "signatures": []}
        for score, signature in corpus_scores(metric, hypotheses, references):
            entry["corpora"].append([score.score, *score.precisions, score.bp, score.sys_len, score.ref_len])
            entry["signatures"].append(signature)
        entry["sentences"] = [] if not effective else [
            metric.sentence_score(hypothesis, list(several)).score
            for hypothesis, several in zip(hypotheses, references)]
        yield entry


def chrf(hypotheses, references):
    for words, lowercases, keeps, epsilon in itertools.product([0, 2], *[[False, True]] * 3):
        metric = CHRF(word_order=words, lowercase=lowercases, whitespace=keeps, eps_smoothing=epsilon)
        entry = {"wordOrder": words, "lowercases": lowercases, "keepsWhiteSpace": keeps,
                 "smoothsByEpsilon": epsilon, "corpora": [], "signatures": []}
        for score, signature in corpus_scores(metric, hypotheses, references):
            entry["corpora"].append(score.score)
            entry["signatures"].append(signature)
            entry["name"] = score.name
        entry["sentences"] = [metric.sentence_score(hypothesis, list(several)).score
                              for hypothesis, several in zip(hypotheses, references)]
        yield entry


def rouge(hypotheses, references):
    variants = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = RougeScorer(variants)
    results = [scorer.score_multi(several, hypothesis) for hypothesis, several in zip(hypotheses, references)]
    for variant in variants:
        pairs = [list(result[variant]) for result in results]
        yield {"variant": variant, "pairs": pairs,
               "means": [sum(column) / len(pairs) for column in zip(*pairs)]}


def similarity(first, second):
    first, second = first.split(), second.split()
    longest = max(len(first), len(second))
    return 1 - edit_distance(first, second) / longest if longest else 1.0


def risk():
    sentence_bleu, sentence_chrf = BLEU(effective_order=True), CHRF()
    utilities = {
        "bleu": lambda text, other: sentence_bleu.sentence_score(text, [other]).score,
        "chrf": lambda text, other: sentence_chrf.sentence_score(text, [other]).score,
        "edit": similarity,
    }
    for candidates, (name, utility), weighted in itertools.product(
            CANDIDATES, utilities.items(), [False, True]):
        weights = WEIGHTS[:len(candidates)] if weighted else [1] * len(candidates)
        expected = [sum(w * utility(text, other) for w, other in zip(weights, candidates)) / sum(weights)
                    for text in candidates]
        yield {"candidates": candidates, "utility": name, "weights": weights, "expected": expected,
               "best": expected.index(max(expected))}


def main():
    hypotheses, references = [pair[0] for pair in PAIRS], [list(pair[1:]) for pair in PAIRS]
    tokenizer = BLEU().tokenizer
    texts = [text for pair in PAIRS for text in pair]
    fixture = {
        "pairs": [{"hypothesis": text, "references": several}
                  for text, several in zip(hypotheses, references)],
        "corpora": corpora(hypotheses, references),
        "tokens": [{"text": text, "result": tokenizer(text.rstrip())} for text in texts],
        "lowercase": [{"text": text, "result": text.lower()} for text in LOWERCASE],
        "bleu": list(bleu(hypotheses, references)),
        "chrf": list(chrf(hypotheses, references)),
        "rouge": list(rouge(hypotheses, references)),
        "edits": [edit_distance(first.split(), several[0].split())
                  for first, several in zip(hypotheses, references)],
        "risk": list(risk()),
    }
    parts = []
    for key, entries in fixture.items():
        lines = ",\n".join(json.dumps(entry) for entry in entries)
        parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
    Path(__file__).with_name("metrics.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")


main()
