"""A guest book: GET / shows what was written, POST / adds to it."""

from flask import Flask, request
from psycopg_pool import ConnectionPool

# The variables PGHOST, PGUSER and PGPASSWORD say where the database is, and as whom to speak to it.
pool = ConnectionPool(min_size=1, max_size=8, timeout=3, check=ConnectionPool.check_connection, open=True)
app = Flask(__name__)


@app.get("/")
def show():
    with pool.connection() as database:
        entries = database.execute("SELECT words FROM entry ORDER BY id").fetchall()
    return "".join(f"{words}\n" for (words,) in entries), {"Content-Type": "text/plain"}


@app.post("/")
def add():
    with pool.connection() as database:
        database.execute("INSERT INTO entry (words) VALUES (%s)", [request.get_data(as_text=True)])
    return "thank you\n", 201


@app.get("/health")
def health():
    with pool.connection() as database:
        database.execute("SELECT 1")
    return "well\n"
