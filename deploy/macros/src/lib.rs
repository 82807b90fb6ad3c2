//! The attributes of functions that run in pools: `on` and `with`, documented where `deploy` exports them.
//!
//! A function is read (`function.rs`), so are the words in the attribute's brackets (`terms.rs`), and both are put
//! together to a function of the same name that makes a call (`expand.rs`). Deliberately absent: what a pool is.

#![forbid(unsafe_code)]

mod amount;
mod expand;
mod function;
mod terms;

use proc_macro::TokenStream;

#[expect(missing_docs, reason = "it would stand below what `deploy` says of it")]
#[proc_macro_attribute]
pub fn on(brackets: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(terms::parse_on(brackets.into()), item.into()).into()
}

#[expect(missing_docs, reason = "it would stand below what `deploy` says of it")]
#[proc_macro_attribute]
pub fn with(brackets: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(terms::parse_with(brackets.into()), item.into()).into()
}
