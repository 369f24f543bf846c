"""What injections say, in the languages they are most written in: word by word, with room between.

A phrase is a row of word sets, lowercase, without apostrophes; each word must follow the one before within ``gap``
words. Weights were set on the development half of the set that ``bench/guard.py`` measures and on benign text; they
combine as independent evidence (``1 - product of (1 - weight)``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way to say something.

    Attributes:
        signal: What it is evidence of.
        weight: How strong, from 0 to 1.
        steps: The word sets, in order, UTF-8 bytes.
        gap: The most other words between two of them.
    """

    signal: str
    weight: float
    steps: tuple[frozenset[bytes], ...]
    gap: int


def _phrase(signal: str, weight: float, *steps: str, gap: int = 4) -> Phrase:
    return Phrase(signal, weight, tuple(frozenset(step.encode().split()) for step in steps), gap)


_FORGET = "ignore ignoring disregard forget override overrule bypass discard neglect dismiss abandon"
_FORMER = "previous prior preceding earlier above foregoing past former existing original initial system all any every your"
_ORDERS = "instructions instruction prompt prompts directives directive guidelines rules commands orders constraints programming restrictions directions"
_SECRETS = "key keys password passwords credentials secret secrets token tokens history conversation context memory cookies env"
_LIMITS = "restrictions filters limitations guidelines censorship limits constraints safeguards guardrails filter restriction ethics"
_SHOW = "reveal show print repeat output display leak disclose recite reproduce expose dump paste write translate summarize return spell"

PHRASES: tuple[Phrase, ...] = (
    # instructions are to be forgotten
    _phrase("override", 0.92, _FORGET, _FORMER, _ORDERS, gap=3),
    _phrase("override", 0.75, _FORGET, _ORDERS, gap=3),
    _phrase("override", 0.7, _FORGET, "everything all anything", "above before previously told said", gap=3),
    _phrase("override", 0.8, "do dont not never stop", "follow obey comply", _FORMER, _ORDERS, gap=3),
    _phrase("override", 0.7, "instructions prompt directives prompts", "are is now no", "void obsolete cancelled canceled revoked superseded invalid longer", gap=3),
    _phrase("override", 0.92, "ignoriere ignorieren vergiss vergessen missachte missachten übergehe verwirf", "vorherigen vorigen bisherigen obigen alle allen deine ihre früheren", "anweisungen instruktionen regeln vorgaben befehle anweisung richtlinien", gap=3),
    _phrase("override", 0.92, "ignora ignorad ignore olvida olvide olvídate omite desobedece descarta dimentica trascura", "instrucciones indicaciones reglas órdenes directrices istruzioni regole indicazioni", "anteriores previas precedentes previos precedenti sopra", gap=3),
    _phrase("override", 0.75, "ignora ignore olvida olvide omite dimentica", "todas todo tus sus las le tutte", "instrucciones indicaciones reglas istruzioni", gap=3),
    _phrase("override", 0.92, "ignore ignorez ignorer oublie oubliez oublier outrepasse", "instructions consignes directives règles ordres", "précédentes précédente antérieures précédents dessus", gap=3),
    _phrase("override", 0.75, "ignore ignorez oublie oubliez", "toutes tes vos les", "instructions consignes directives règles", gap=3),
    _phrase("override", 0.85, "tiens tenez", "compte", "instructions consignes directives", gap=5),
    _phrase("override", 0.92, "ignore esqueça desconsidere", "instruções regras ordens", "anteriores prévias acima", gap=3),
    _phrase("override", 0.92, "negeer vergeet", "vorige eerdere bovenstaande alle", "instructies opdrachten regels", gap=3),
    _phrase("override", 0.92, "игнорируй игнорируйте забудь забудьте", "инструкции указания правила", gap=4),
    # the model is to be somebody else
    _phrase("new_role", 0.35, "you", "are", "now", "a an in dan the unrestricted free no", gap=1),
    _phrase("new_role", 0.92, "pretend imagine act roleplay behave", "unrestricted unfiltered uncensored jailbroken evil unaligned amoral", gap=6),
    _phrase("new_role", 0.92, "do", "anything", "now", gap=0),
    _phrase("new_role", 0.92, "you youre pretend act be become as roleplay", "dan", gap=3),
    _phrase("new_role", 0.92, "pretend act roleplay behave imagine respond answer", "no without lacking free", _LIMITS, gap=6),
    _phrase("new_role", 0.92, "enable activate enter switch unlock engage", "unrestricted unfiltered uncensored jailbreak jailbroken god dan", "mode", gap=3),
    _phrase("new_role", 0.92, "unrestricted unfiltered uncensored jailbroken unaligned amoral", "ai model assistant chatbot mode bot version", gap=1),
    _phrase("new_role", 0.6, "pretend", "you", "can", "do", "anything", gap=1),
    _phrase("new_role", 0.35, "developer debug god maintenance sudo admin jailbreak dan root", "mode", "enabled enable activated on activate enter entered unlocked engaged", gap=3),
    _phrase("new_role", 0.35, "enable activate enter switch unlock engage", "developer debug god maintenance sudo admin jailbreak dan unrestricted", "mode", gap=3),
    _phrase("new_role", 0.5, "no without", "restrictions filters limitations guidelines censorship rules safety ethical", "ai model assistant answer respond reply anything", gap=12),
    _phrase("new_role", 0.7, "longer not", "bound restricted limited constrained", "by", "rules guidelines policies restrictions openai anthropic safety programming", gap=4),
    _phrase("new_role", 0.35, "du", "bist", "jetzt ab", "ein eine kein der im", gap=2),
    _phrase("new_role", 0.35, "tu eres vous ahora maintenant", "eres êtes es ahora", "ahora maintenant un une una", gap=2),
    _phrase("new_role", 0.4, "from", "now", "on", "you your respond answer reply act", gap=1),
    _phrase("new_role", 0.4, "your", "new real actual true only sole", "task goal instructions objective role purpose mission job directive", gap=2),
    _phrase("new_role", 0.35, "new updated revised", "instructions system directive", "follow are is begin start from", gap=3),
    # the instructions are to be told
    _phrase("prompt_leak", 0.92, _SHOW + " tell give", "system hidden initial original secret internal developer", "prompt instructions prompts", gap=3),
    _phrase("prompt_leak", 0.8, "what", "is are was were", "your", "system initial original hidden secret", "prompt instructions", gap=1),
    _phrase("prompt_leak", 0.8, _SHOW + " tell give", "your", "instructions prompt rules guidelines configuration", gap=2),
    _phrase("prompt_leak", 0.75, "repeat print output copy write recite", "everything text words all lines", "above before verbatim", gap=4),
    _phrase("prompt_leak", 0.9, "zeige zeig nenne verrate gib wiederhole", "systemprompt systemanweisung systemanweisungen system-prompt systemnachricht", gap=6),
    _phrase("prompt_leak", 0.85, "zeige zeig nenne verrate wiederhole drucke gib", "deine deinen ihre internen", "anweisungen instruktionen prompt regeln", gap=4),
    _phrase("prompt_leak", 0.85, "muestra muéstrame revela repite dime imprime enseña", "prompt instrucciones", "sistema iniciales ocultas internas", gap=4),
    _phrase("prompt_leak", 0.85, "montre montrez révèle révélez affiche affichez répète répétez donne", "prompt instructions consignes invite", "système initiales cachées internes", gap=4),
    _phrase("prompt_leak", 0.6, "system", "prompt", "verbatim reveal print leak exact word", gap=12),
    # data is to be carried out
    _phrase("exfiltration", 0.6, "send post forward email upload exfiltrate transmit submit deliver leak mail", _SECRETS, "http https www url webhook endpoint server attacker address", gap=8),
    _phrase("exfiltration", 0.6, "append include embed encode add insert", _SECRETS + " data email emails", "url link query image parameter http https", gap=9),
    _phrase("exfiltration", 0.35, "send post forward email upload exfiltrate transmit leak", "data contents emails messages inbox", "http https www url webhook endpoint attacker", gap=8),
    _phrase("exfiltration", 0.4, "send forward email mail post", "all every entire full whole", _SECRETS + " messages emails inbox contacts files data documents", "to", gap=5),
    _phrase("exfiltration", 0.6, "render display load fetch include markdown", "image", "http https", "conversation data secret key prompt history email base64", gap=12),
    _phrase("exfiltration", 0.75, "sende schicke übermittle leite envía envíe reenvía envoie envoyez transmets transmettez", "passwort passwörter zugangsdaten schlüssel daten verlauf contraseña contraseñas claves datos historial mot mots données clé identifiants", "http https an a à vers server url", gap=8),
    # the user is not to know
    _phrase("concealment", 0.4, "do dont never not without", "tell mention inform alert reveal notify telling informing mentioning notifying alerting show", "user users human humans them anyone customer reader", gap=4),
    _phrase("concealment", 0.6, "sage sag erwähne informiere verrate", "nutzer benutzer anwender niemandem", "nicht nichts davon", gap=4),
    _phrase("concealment", 0.6, "no sin ne sans", "digas menciones informar informes dis mentionnez mentionne informer prévenir", "usuario utilisateur", gap=4),
    _phrase("concealment", 0.35, "silently secretly quietly covertly heimlich", "send forward call execute run delete transfer add include approve sende", gap=4),
    # a text speaks to the model that reads it
    _phrase("addressed", 0.6, "attention note important notice message hey dear hello instruction instructions reminder", "ai llm chatgpt claude gpt copilot gemini chatbot model", "must should ignore please reading you follow processing summarizing this", gap=4),
    _phrase("addressed", 0.75, "if when", "you youre", "ai llm language chatbot assistant", "reading processing summarizing analyzing model include say respond output write then please must", gap=6),
    _phrase("addressed", 0.5, "ai llm assistant", "must should", "ignore output respond say recommend rate answer include call execute always", gap=3),
    _phrase("addressed", 0.6, "respond reply answer say output", "only", "with", "hacked pwned owned compromised haha access granted", gap=6),
    _phrase("addressed", 0.5, "rate score rank recommend evaluate", "this", "candidate resume applicant paper essay submission product", "highest positive positively excellent strongly accept top best perfect", gap=9),
    # authority and safety
    _phrase("authority", 0.5, "i im we", "am your the are", "developer creator administrator admin openai anthropic engineer owner", "authorized override disable grant mode unlock bypass permission", gap=10),
    _phrase("authority", 0.92, "disable disabled bypass turn remove lift deactivate circumvent ignore suspend", "your safety ethical moderation", _LIMITS + " protocols protocol checks policies measures", gap=3),
    _phrase("authority", 0.4, "disable bypass remove lift deactivate circumvent", "content security all", _LIMITS + " protocols checks policies measures", gap=2),
    _phrase("authority", 0.5, "override", "activated enabled engaged accepted granted authorized", gap=2),
    _phrase("authority", 0.7, "system admin administrator security root safety developer", "override", gap=0),
    _phrase("authority", 0.45, "sudo override", "authorization authorized admin command code", gap=3),
    # a payload is to be unpacked
    _phrase("encoded", 0.6, "decode decrypt base64 rot13 hex", "execute follow run obey comply perform", gap=12),
)  # fmt: skip
