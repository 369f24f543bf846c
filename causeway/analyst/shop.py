"""The sample shop's rows: three years of Fernhill Supply's sales, the same for the same seed and size.

Growth, seasons, weekdays and holidays shape how many orders a day has; customers come, come again and leave. Four
stories are planted, for questions that want a reason: the best-selling tent is out of stock for six weeks of summer
2025; the campaign Spring Trail Week costs most and sells nothing more; boots of one supplier come back three times
as often from March 2025; customers won on Black Friday 2024 seldom order again.

Owns what is in the tables; what the tables are is `causeway.analyst.shop_tables`'s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from random import Random

from causeway.analyst.shop_words import (
    CAMPAIGNS,
    CATEGORIES,
    CITIES,
    FIRST_NAMES,
    HOSTILE_REVIEWS,
    LAST_NAMES,
    MONTH_FACTORS,
    RETURN_REASONS,
    REVIEW_WORDS,
    STREETS,
    SUPPLIERS,
    VARIANTS,
)

FIRST_DAY, LAST_DAY = date(2023, 1, 1), date(2025, 12, 31)
SMALL, LARGE = 20_000, 2_000_000
"""Orders in the two sizes."""

STOCK_OUT = (date(2025, 6, 9), date(2025, 7, 20))
FAILED_CAMPAIGN = "Spring Trail Week"
FAULTY_SUPPLIER, FAULTY_FROM = "Eastgate Footwear", date(2025, 3, 1)
_FLEETING_CAMPAIGN = "Black Friday 2024"
_DAYS = (LAST_DAY - FIRST_DAY).days + 1
_BATCH_DAYS = 14

_UNGROWING = ("campaigns", "categories", "suppliers", "products", "price_history", "stock_levels")
_GROWING = ("customers", "addresses", "orders", "order_items", "payments", "shipments", "returns", "reviews")

Row = tuple[object, ...]
Batch = dict[str, list[Row]]
"""Table -> rows, in an order of tables that foreign keys allow."""


@dataclass(frozen=True, slots=True)
class _Product:
    id: int
    name: str
    category_id: int
    supplier_id: int
    prices: tuple[int, ...]
    """In cents: the list price of each year."""


@dataclass(slots=True)
class _Customer:
    id: int
    address_id: int
    leaves_on: date


@dataclass(slots=True)
class _Shop:
    """What has to be known to go on."""

    random: Random
    products: list[_Product]
    popularity: list[float]
    faulty: frozenset[int]
    """The products of the supplier whose boots come back."""
    customers: list[_Customer] = field(default_factory=list)
    orders: int = 0
    payments: int = 0
    shipments: int = 0
    returns: int = 0
    reviews: int = 0


def generate(orders: int = SMALL, *, seed: int = 7) -> Iterator[Batch]:
    """The shop in batches, each to be written in the order of its tables; the first holds what does not grow."""
    random = Random(seed)  # noqa: S311 - sample rows, nothing secret
    products, first = _catalogue(random)
    popularity = list(accumulate(1 / (rank + 3) for rank in range(len(products))))
    supplier_id = [name for name, *_ in SUPPLIERS].index(FAULTY_SUPPLIER) + 1
    faulty = frozenset(product.id for product in products if product.supplier_id == supplier_id)
    shop = _Shop(random, products, popularity, faulty)
    yield first
    batch = _empty()
    for number, count in enumerate(_orders_a_day(orders)):
        day = FIRST_DAY + timedelta(days=number)
        for _ in range(count):
            _order(shop, day, batch)
        if number % _BATCH_DAYS == _BATCH_DAYS - 1 or number == _DAYS - 1:
            yield batch
            batch = _empty()


def best_tent() -> str:
    """The product of the stock-out."""
    return "Kestrel 1"


def _empty() -> Batch:
    return {name: [] for name in _GROWING}


# --- what does not grow ------------------------------------------------------------------------------


def _catalogue(random: Random) -> tuple[list[_Product], Batch]:
    batch: Batch = {name: [] for name in _UNGROWING}
    for number, (name, channel, begins, ends, budget, percent, _lift) in enumerate(CAMPAIGNS, start=1):
        batch["campaigns"].append((number, name, channel, begins, ends, budget, percent))
    for number, (name, country, days) in enumerate(SUPPLIERS, start=1):
        contact = f"orders@{name.split()[0].lower()}.example"
        batch["suppliers"].append((number, name, country, days, contact))
    products: list[_Product] = []
    for top, below in CATEGORIES:
        top_id = len(batch["categories"]) + 1
        batch["categories"].append((top_id, None, top))
        for name, words, low, high in below:
            category_id = len(batch["categories"]) + 1
            batch["categories"].append((category_id, top_id, name))
            for word in words.split():
                products += _family(random, word, category_id, (low, high), len(products), batch)
    random.shuffle(products)
    best = next(index for index, product in enumerate(products) if product.name == best_tent())
    products.insert(0, products.pop(best))
    for product in products:
        batch["stock_levels"] += _stock(random, product)
    return products, batch


def _family(
    random: Random, word: str, category_id: int, prices: tuple[int, int], made: int, batch: Batch
) -> list[_Product]:
    family: list[_Product] = []
    is_shoe = word in ("Granite", "Ridgeway", "Cairn", "Fleet", "Bramble")
    for variant in VARIANTS[: random.randint(3, 5)]:
        number = made + len(family) + 1
        supplier_id = random.choice((5, 6)) if is_shoe else random.choice((1, 2, 3, 4, 7, 8))
        price = random.randint(*prices) * 100 - 5
        years = [price, price + price * random.randint(1, 5) // 100]
        years.append(years[1] + years[1] * random.randint(2, 7) // 100)
        product = _Product(number, f"{word} {variant}", category_id, supplier_id, tuple(years))
        family.append(product)
        launched = date(2021, 1, 1) + timedelta(days=random.randint(0, 700))
        cost = price * random.randint(42, 63) // 100
        row = (
            number,
            f"FS-{number:04d}",
            product.name,
            category_id,
            supplier_id,
            _money(years[2]),
            _money(cost),
        )
        batch["products"].append((*row, launched, random.random() > 0.04, random.randint(60, 4200)))
        for year, value in zip((2023, 2024, 2025), years, strict=True):
            until = date(year, 12, 31) if year < 2025 else None
            batch["price_history"].append((number, date(year, 1, 1), until, _money(value)))
    return family


def _stock(random: Random, product: _Product) -> Iterator[Row]:
    """What was counted on the first of each month, in both warehouses."""
    for month in range(36):
        counted = date(2023 + month // 12, month % 12 + 1, 1)
        is_out = product.name == best_tent() and counted == date(2025, 7, 1)
        for warehouse in ("Main", "North"):
            yield product.id, warehouse, counted, 0 if is_out else random.randint(8, 240)


# --- days --------------------------------------------------------------------------------------------


def _orders_a_day(orders: int) -> list[int]:
    """How many each day has: growth, season, weekday, holidays and campaigns."""
    weights = [_weight(FIRST_DAY + timedelta(days=number), number) for number in range(_DAYS)]
    total = sum(weights)
    ends = [round(orders * at / total) for at in accumulate(weights)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _weight(day: date, number: int) -> float:
    weight = (1 + 1.1 * number / _DAYS) * MONTH_FACTORS[day.month - 1]
    weight *= (0.92, 0.9, 0.94, 1.0, 1.12, 1.2, 1.05)[day.weekday()]
    if (day.month, day.day) in ((1, 1), (12, 25), (12, 26)):
        weight *= 0.25
    for _name, _channel, begins, ends, _budget, _percent, lift in CAMPAIGNS:
        if begins <= day.isoformat() <= ends:
            weight *= lift
    return weight


def _campaign(day: date) -> tuple[int, int] | None:
    """Number and discount of the campaign that runs on a day."""
    for number, (_name, _channel, begins, ends, _budget, percent, _lift) in enumerate(CAMPAIGNS, start=1):
        if begins <= day.isoformat() <= ends:
            return number, percent
    return None


# --- orders ------------------------------------------------------------------------------------------


def _order(shop: _Shop, day: date, batch: Batch) -> None:
    random = shop.random
    running = _campaign(day)
    campaign = running if running and random.random() < 0.45 else None
    customer = _who(shop, day, campaign, batch)
    shop.orders += 1
    order_id = shop.orders
    at = datetime(day.year, day.month, day.day, random.randint(6, 22), random.randint(0, 59), tzinfo=UTC)
    channel = random.choices(("web", "app", "store", "phone"), (56, 24, 17, 3))[0]
    status = random.choices(("completed", "cancelled"), (95, 5))[0]
    if status == "completed" and day > LAST_DAY - timedelta(days=4):
        status = "processing"
    lines, total = _lines(shop, day, order_id, campaign[1] if campaign else 0)
    fee = 0 if total >= 7500 or channel == "store" else 595
    batch["orders"].append(
        (
            order_id,
            customer.id,
            at,
            status,
            channel,
            campaign[0] if campaign else None,
            customer.address_id,
            _money(fee),
        )
    )
    batch["order_items"] += [(order_id, number, *line) for number, line in enumerate(lines, start=1)]
    _pay(shop, batch, order_id, at, total + fee, status)
    if status == "completed":
        delivered = _ship(shop, batch, order_id, at, channel)
        _afterwards(shop, batch, (order_id, customer.id), lines, delivered)


def _who(shop: _Shop, day: date, campaign: tuple[int, int] | None, batch: Batch) -> _Customer:
    """A customer who is still there, or a new one."""
    random = shop.random
    if shop.customers and random.random() > 0.34:
        for _ in range(12):
            known = shop.customers[int(len(shop.customers) * random.random() ** 0.7)]
            if known.leaves_on >= day:
                return known
    number = len(shop.customers) + 1
    stays_days = int(random.expovariate(1 / 420))
    if campaign and CAMPAIGNS[campaign[0] - 1][0] == _FLEETING_CAMPAIGN:
        stays_days //= 12
    customer = _Customer(number, number, day + timedelta(days=stays_days))
    shop.customers.append(customer)
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    city, region, country, _share = random.choices(CITIES, [share for *_, share in CITIES])[0]
    segment = random.choices(("consumer", "club", "business"), (68, 25, 7))[0]
    mail = f"{first}.{last}.{number}@mail.example".lower()
    row = (number, first, last, mail, f"555-01{number % 100:02d}", segment, day, random.random() < 0.6)
    batch["customers"].append((*row, campaign[0] if campaign else None))
    street = f"{random.randint(1, 240)} {random.choice(STREETS)}"
    batch["addresses"].append(
        (number, number, street, city, region, f"{random.randint(10000, 99999)}", country)
    )
    return customer


def _lines(shop: _Shop, day: date, order_id: int, percent: int) -> tuple[list[Row], int]:
    """Product, quantity, price and discount of each line; and what they come to in cents."""
    random = shop.random
    chosen: dict[int, _Product] = {}
    for _ in range(random.choices((1, 2, 3, 4, 6), (42, 28, 16, 9, 5))[0]):
        at = bisect_left(shop.popularity, random.random() * shop.popularity[-1])
        product = shop.products[at]
        if product.name == best_tent() and STOCK_OUT[0] <= day <= STOCK_OUT[1]:
            continue
        chosen[product.id] = product
    if not chosen:
        product = shop.products[1 + order_id % (len(shop.products) - 1)]
        chosen[product.id] = product
    lines: list[Row] = []
    total = 0
    for product in chosen.values():
        quantity = random.choices((1, 2, 3, 5), (80, 14, 4, 2))[0]
        price = product.prices[day.year - 2023]
        discount = price * quantity * percent // 100
        total += price * quantity - discount
        lines.append((product.id, quantity, _money(price), _money(discount)))
    return lines, total


def _pay(shop: _Shop, batch: Batch, order_id: int, at: datetime, cents: int, status: str) -> None:
    random = shop.random
    method = random.choices(("card", "paypal", "bank transfer", "gift card"), (62, 24, 9, 5))[0]
    if random.random() < 0.03:
        shop.payments += 1
        batch["payments"].append((shop.payments, order_id, at, method, "failed", _money(cents)))
    shop.payments += 1
    outcome = "refunded" if status == "cancelled" else "paid"
    paid_at = at + timedelta(minutes=random.randint(1, 9))
    batch["payments"].append((shop.payments, order_id, paid_at, method, outcome, _money(cents)))


def _ship(shop: _Shop, batch: Batch, order_id: int, at: datetime, channel: str) -> datetime:
    """When the order was in the customer's hands."""
    if channel == "store":
        return at
    random = shop.random
    shipped = at + timedelta(hours=random.randint(4, 60))
    carrier, mean_days = random.choices(
        (("Northway", 2.6), ("ParcelOne", 3.4), ("Swiftpost", 5.1)), (50, 30, 20)
    )[0]
    delivered = shipped + timedelta(days=max(1, random.gauss(mean_days, 1.1)))
    shop.shipments += 1
    batch["shipments"].append((shop.shipments, order_id, carrier, shipped, delivered.replace(microsecond=0)))
    return delivered


def _afterwards(
    shop: _Shop, batch: Batch, who: tuple[int, int], lines: list[Row], delivered: datetime
) -> None:
    """What comes back, and what is said of it."""
    random = shop.random
    order_id, customer_id = who
    for number, (product_id, quantity, price, _discount) in enumerate(lines, start=1):
        is_faulty = _is_faulty(shop, int(str(product_id)), delivered.date())
        if random.random() < (0.21 if is_faulty else 0.07):
            shop.returns += 1
            reason = random.choices(
                [word for word, _ in RETURN_REASONS], [share for _, share in RETURN_REASONS]
            )[0]
            if is_faulty and random.random() < 0.7:
                reason = "defective"
            at = delivered + timedelta(days=random.randint(2, 28))
            back = random.randint(1, int(str(quantity)))
            row = (shop.returns, order_id, number, product_id, at.replace(microsecond=0), back, reason)
            batch["returns"].append((*row, f"{back * float(str(price)):.2f}"))
        if random.random() < 0.12:
            _review(shop, batch, (customer_id, int(str(product_id))), delivered, is_faulty=is_faulty)


def _is_faulty(shop: _Shop, product_id: int, day: date) -> bool:
    return day >= FAULTY_FROM and product_id in shop.faulty


def _review(
    shop: _Shop, batch: Batch, about: tuple[int, int], delivered: datetime, *, is_faulty: bool
) -> None:
    random = shop.random
    shop.reviews += 1
    rating = random.choices((1, 2, 3, 4, 5), (30, 25, 20, 15, 10) if is_faulty else (4, 6, 15, 35, 40))[0]
    title, body = REVIEW_WORDS[rating]
    if shop.reviews in (150, 151):
        title, body = HOSTILE_REVIEWS[shop.reviews - 150]
    at = (delivered + timedelta(days=random.randint(3, 60))).replace(microsecond=0)
    batch["reviews"].append((shop.reviews, about[1], about[0], rating, title, body, at))


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
