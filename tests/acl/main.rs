//! Access control: users, rules, what is denied and in which words.

mod channels;
mod checks;
mod files;
mod hostile;
mod matrix;
mod recorded;
mod rules;
