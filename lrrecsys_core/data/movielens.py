"""MovieLens as GroupLens publishes it (Harper and Konstan, 2015): latest with .csv files, and 100k and 1m without."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from lrrecsys_core.data.columns import find_files, number_column, require_columns
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.item_profiles import read_item_profiles
from lrrecsys_core.data.movielens_classic import Published, read_classic
from lrrecsys_core.data.reading import read_table
from lrrecsys_core.errors import InputError

_PUBLISHED = "a MovieLens folder (or one of 100k or 1m)"
_NAMES = {"userId": "user_id", "movieId": "item_id"}
_NO_GENRE = "(no genres listed)"


def load_movielens(
    folder: str | Path,
    profiles: str | Path | None = None,
    *,
    described_only: bool = False,
    tags: bool = False,
    fold: str = "",
) -> Dataset:
    """Load a MovieLens folder: ratings from 0.5 or 1 to 5, liked from 4; genres are item details and aspects.

    Parameters
    ----------
    folder
        Holds ratings.csv and movies.csv (latest), u.data and u.item (100k) or ratings.dat and movies.dat (1m); of
        latest also links.csv with `profiles`, tags.csv with `tags`.
    profiles
        The file item_profile.json of LLM-written likes and dislikes of IMDb movies (EXP3RT, SIGIR 2025): the `texts` of
        the data set.
    described_only
        Keep the records of movies with such a text alone, and name the data set "movielens-imported".
    tags
        Also take a user's tags of a rated movie as aspects of that record (in lower case).
    fold
        An official fold of 100k, whose test part is then given: see `movielens_classic.read_classic`.

    Returns
    -------
    Dataset
        Named "movielens", or after its fold "movielens-u1", with aspects of unknown sentiment and without movies that
        nobody rated.

    Raises
    ------
    InputError
        If a file is missing or malformed, or no movie has a profile.
    """
    published = read_classic(Path(folder), fold) or _latest(folder)
    records, movies = published.records, published.movies
    aspects = (
        records.select("user_id", "item_id")
        .join(movies.select("item_id", aspect=pl.col("genres").str.split("|")), on="item_id", maintain_order="left")
        .explode("aspect")
        .filter(pl.col("aspect") != "")
    )
    if tags:
        aspects = pl.concat([aspects, _tag_aspects(folder, records)])
    whole = make_dataset(
        f"movielens-{fold}" if fold else "movielens",
        "movie",
        records,
        movies.with_columns(details=pl.col("genres").str.replace_all("|", "; ", literal=True)),
        aspects=aspects,
        rating_min=published.rating_min,
        rating_max=5.0,
        source=str(folder),
        files=published.files,
        columns=published.columns,
    )
    whole = replace(whole, notes=published.notes)
    if profiles is None:
        return whole.restricted(whole.interactions)
    texts = _profile_texts(folder, profiles)
    known = texts.join(whole.items, on="item_id", how="semi", maintain_order="left")
    rated = known.join(whole.interactions, on="item_id", how="semi", maintain_order="left")
    if rated.is_empty():
        raise InputError(
            f"{profiles}: no profile belongs to a rated movie of {folder}; expected IMDb numbers of its movies."
        )
    if not described_only:
        return replace(whole.restricted(whole.interactions), texts=rated)
    described = whole.interactions.join(rated, on="item_id", how="semi", maintain_order="left")
    return replace(whole.restricted(described, name="movielens-imported"), texts=rated)


def _latest(folder: str | Path) -> Published:
    ratings_csv, movies_csv = find_files(folder, ("ratings.csv", "movies.csv"), _PUBLISHED)
    records, movies = read_table(ratings_csv), read_table(movies_csv)
    require_columns(records.columns, ("userId", "movieId", "rating", "timestamp"), str(ratings_csv))
    require_columns(movies.columns, ("movieId", "title", "genres"), str(movies_csv))
    genres = pl.when(pl.col("genres") == _NO_GENRE).then(pl.lit("")).otherwise(pl.col("genres").fill_null(""))
    return Published(
        records.rename(_NAMES),
        movies.select("movieId", "title", genres=genres).rename({"movieId": "item_id", "title": "name"}),
        {"interactions": str(ratings_csv), "items": str(movies_csv)},
        {"user_id": "userId", "item_id": "movieId", "name": "title"},
        0.5,
    )


def _tag_aspects(folder: str | Path, records: pl.DataFrame) -> pl.DataFrame:
    (tags_csv,) = find_files(folder, ("tags.csv",), _PUBLISHED)
    tags = read_table(tags_csv)
    require_columns(tags.columns, ("userId", "movieId", "tag"), str(tags_csv))
    tags = tags.rename(_NAMES).join(records, on=["user_id", "item_id"], how="semi", maintain_order="left")
    return tags.select("user_id", "item_id", aspect=pl.col("tag").str.strip_chars().str.to_lowercase()).filter(
        pl.col("aspect") != ""
    )


def _profile_texts(folder: str | Path, profiles: str | Path) -> pl.DataFrame:
    """Texts by movieId: the profiles' IMDb numbers, zero-padded or not, looked up in links.csv."""
    (links_csv,) = find_files(folder, ("links.csv",), _PUBLISHED)
    links = read_table(links_csv)
    require_columns(links.columns, ("movieId", "imdbId"), str(links_csv))
    numbers = number_column(links, "imdbId", str(links_csv), "an IMDb number").cast(pl.Int64)
    linked = links.select(numbers.alias("imdb"), item_id="movieId").unique("item_id", maintain_order=True)
    found = read_item_profiles(profiles).with_columns(
        imdb=pl.col("item_id").str.strip_prefix("tt").cast(pl.Int64, strict=False)
    )
    return (
        found.drop("item_id").join(linked, on="imdb", maintain_order="left").select("item_id", "positive", "negative")
    )
