//! Processes that are killed at each of the five awaits of the flow, and stores that are: what is
//! left, and what the next request finds. ARCHITECTURE.md has the table.

mod awaits;
mod capture;
mod outage;
mod takeover;
