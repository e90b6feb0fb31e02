# One-liners; everything here also works typed by hand, and CI uses none of it.

# What a change must pass.
ci:
    .ci/run

# Every test; `just test sessions` runs those whose name contains it.
test *filter:
    cargo test --locked {{filter}}

lint:
    cargo fmt --check && cargo clippy --all-targets --locked -- -D warnings

# Licences, bans, sources, advisories.
deny:
    cargo deny --locked check --allow duplicate

serve *arguments:
    cargo run --release -- {{arguments}}

demo:
    cargo run --release -- demo

# Scenarios and options follow, as in `just bench code_flow --concurrency 16`.
bench *arguments:
    cargo bench --bench flows -- {{arguments}}

# Look at every snapshot that changed, and accept or reject it (needs cargo-insta).
snapshots:
    cargo insta test --review
