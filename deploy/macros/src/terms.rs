//! What stands in the brackets of an attribute: the pool, and what each call needs.
//!
//! Deliberately absent: whether there is such a pool, which the compiler says by itself, at its name.

use crate::amount;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, Expr, ExprLit, Ident, Lit, Result, Token, parse::ParseStream, parse::Parser,
    spanned::Spanned,
};

/// Where and how a function runs.
pub(crate) struct Terms {
    pub(crate) pool: Expr,
    /// The fields of `deploy`'s own terms, those that are given.
    pub(crate) fields: Vec<(Ident, TokenStream)>,
}

/// What stands behind `on`.
pub(crate) fn parse_on(brackets: TokenStream) -> Result<Terms> {
    let parse = |input: ParseStream| {
        let pool = parse_pool(input)?;
        if !input.is_empty() {
            return Err(input.error("#[on(POOL)] takes the pool alone: write #[with(POOL, ..)]"));
        }
        Ok(Terms {
            pool,
            fields: Vec::new(),
        })
    };
    parse.parse2(brackets)
}

/// What stands behind `with`.
pub(crate) fn parse_with(brackets: TokenStream) -> Result<Terms> {
    let parse = |input: ParseStream| {
        let pool = parse_pool(input)?;
        let mut fields: Vec<(Ident, TokenStream)> = Vec::new();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let value: Expr = input.parse()?;
            if fields.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Error::new(name.span(), format!("{name} is said twice")));
            }
            fields.push((name.clone(), field(&name, &value)?));
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Terms { pool, fields })
    };
    parse.parse2(brackets)
}

fn parse_pool(input: ParseStream) -> Result<Expr> {
    if input.is_empty() {
        return Err(Error::new(Span::call_site(), MISSING));
    }
    let pool: Expr = input.parse()?;
    if let Expr::Assign(_) = pool {
        return Err(Error::new(pool.span(), MISSING));
    }
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(pool)
}

/// The value of a field, of the type that `deploy` has for it. What is written as a literal is read here, so that a
/// mistake is an error of the compiler's.
fn field(name: &Ident, value: &Expr) -> Result<TokenStream> {
    let span = value.span();
    let literal = literal(value);
    let amount = |read: fn(&str) -> Option<u64>, expected: &str| match &literal {
        None => Ok(None),
        Some(text) => match read(text) {
            Some(amount) => Ok(Some(amount)),
            None => Err(Error::new(span, format!("{text:?} is not {expected}"))),
        },
    };
    let known = match name.to_string().as_str() {
        "mem" => amount(amount::bytes, MEMORY)?
            .map(|bytes| quote_spanned!(span=> ::deploy::Mem::B * #bytes)),
        "cpu" => amount(amount::millionths, "a number of cores, as in 2 or 0.5")?
            .map(|millionths| quote_spanned!(span=> ::deploy::Cpu::from_millionths(#millionths))),
        "timeout" => amount(amount::nanoseconds, "a time, as in \"10s\" or \"250ms\"")?
            .map(|nanos| quote_spanned!(span=> ::core::time::Duration::from_nanos(#nanos))),
        "gpu" | "retries" => None,
        _ => {
            let why = format!(
                "{name} is unknown: there are mem, cpu, gpu, retries and timeout, as in \
                 #[with(POOL, mem = \"1GiB\", cpu = 2)]"
            );
            return Err(Error::new(name.span(), why));
        }
    };
    Ok(known.unwrap_or_else(|| quote!(#value)))
}

/// What a literal says, whichever way it is written.
fn literal(value: &Expr) -> Option<String> {
    let Expr::Lit(ExprLit { lit, .. }) = value else {
        return None;
    };
    match lit {
        Lit::Str(text) => Some(text.value()),
        Lit::Int(number) => Some(number.base10_digits().to_string()),
        Lit::Float(number) => Some(number.base10_digits().to_string()),
        _ => None,
    }
}

const MEMORY: &str = "an amount of memory, as in \"1GiB\": its unit is B, KiB, MiB, GiB or TiB";
const MISSING: &str = "name the pool first, as in #[on(POOL)], where `static POOL: deploy::Pool = deploy::Pool::new();`";
