"""Questions about everything: their mean vector is what questions have in common because they are questions.

Embedding models put all questions near each other, so that what they are about makes little difference. Vectors are
compared after the common part is taken away: the mean of what was asked, and of these while little was
(``bench/top_questions.py``; the idea is Mu and Viswanath's, https://arxiv.org/abs/1702.01417).
"""

from __future__ import annotations

from typing import Final

QUESTIONS: Final = (
    "How many days of annual leave do I have?",
    "Where do I find the form for travel expenses?",
    "Who approves an order above five thousand euros?",
    "Can I return a product without a receipt?",
    "What does the warranty of the stove cover?",
    "How do I reset my password?",
    "Why was my card declined?",
    "When will my parcel arrive?",
    "Which countries do we ship to?",
    "How is the bonus calculated?",
    "What is the difference between the two plans?",
    "Write a short summary of this report",
    "Translate this sentence into German",
    "Explain how the heat pump works",
    "Who is responsible for data protection?",
    "What should I do when the machine stops?",
    "How long are invoices kept?",
    "Which meeting rooms have a projector?",
    "Is parking free for visitors?",
    "Show me the revenue of last quarter by region",
    "How many customers ordered twice this year?",
    "What time does the canteen open?",
    "Can I work from home on Fridays?",
    "What are the opening hours on public holidays?",
    "How do I cancel my subscription?",
    "My screen stays black, what can I do?",
    "Please book a table for two tonight",
    "What is the weather like tomorrow?",
    "How do I cook rice?",
    "What is the capital of Australia?",
    "Recommend a good book about history",
    "Turn on the lights in the kitchen",
    "How far is it to the airport?",
    "What is the exchange rate of the dollar?",
    "Transfer two hundred dollars to my savings account",
    "What is the limit of my credit card?",
    "How do I connect to the virtual private network?",
    "Which law applies to this contract?",
    "Fix the error in this function",
    "What does this abbreviation mean?",
)
