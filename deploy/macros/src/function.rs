//! A function as a pool sees it: what goes to a worker, what comes back, and what cannot.
//!
//! Deliberately absent: whether a type can travel, which only the compiler knows; it is asked in `expand.rs`.

use proc_macro2::Span;
use syn::{
    Error, FnArg, Ident, ItemFn, Pat, PatIdent, ReceiverKind, Result, ReturnType, Safety,
    Signature, Type, spanned::Spanned, visit,
};

/// What is passed to a function.
pub(crate) struct Argument {
    /// What it is called, in the function that makes the call.
    pub(crate) name: Ident,
    /// How the body takes it.
    pub(crate) pattern: Pat,
    /// Its type; behind the `&`, if it is a reference.
    pub(crate) kind: Type,
    pub(crate) is_reference: bool,
}

/// How a method takes itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    Value,
    Reference,
}

/// A function that can run elsewhere.
pub(crate) struct Function {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) arguments: Vec<Argument>,
    /// What it returns; nothing is `()`.
    pub(crate) output: Option<Type>,
}

impl Function {
    /// Reads it, or says what it has that cannot run elsewhere.
    pub(crate) fn read(item: &ItemFn) -> Result<Function> {
        let sig = &item.sig;
        refuse_modifiers(sig)?;
        refuse_generics(sig)?;
        let mut receiver = None;
        let mut arguments = Vec::new();
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(own) => receiver = Some(read_receiver(own)?),
                FnArg::Typed(typed) => {
                    arguments.push(read_argument(arguments.len(), &typed.pat, &typed.ty)?);
                }
            }
        }
        if arguments.len() + usize::from(receiver.is_some()) > ARGUMENTS_MAX {
            let why = format!(
                "a function on a pool has at most {ARGUMENTS_MAX} arguments: put some into a struct"
            );
            return Err(Error::new(sig.inputs.span(), why));
        }
        let output = match &sig.output {
            ReturnType::Default => None,
            ReturnType::Type(_, output) => {
                refuse_output(output)?;
                Some((**output).clone())
            }
        };
        Ok(Function {
            receiver,
            arguments,
            output,
        })
    }
}

fn refuse_modifiers(sig: &Signature) -> Result<()> {
    let refuse = |span: Span, what: &str| {
        let why =
            format!("a function on a pool cannot be `{what}`: each call goes to another process");
        Err(Error::new(span, why))
    };
    if let Some(constness) = &sig.constness {
        return refuse(constness.span(), "const");
    }
    if let Safety::Unsafe(keyword) = &sig.safety {
        return refuse(keyword.span(), "unsafe");
    }
    if let Some(abi) = &sig.abi {
        return refuse(abi.span(), "extern");
    }
    match &sig.variadic {
        Some(variadic) => refuse(variadic.span(), "variadic"),
        None => Ok(()),
    }
}

fn refuse_generics(sig: &Signature) -> Result<()> {
    match sig.generics.lifetimes().next() {
        None => Ok(()),
        Some(lifetime) => Err(Error::new(
            lifetime.span(),
            "a function on a pool has no lifetimes of its own: its arguments are copied to another process. Leave the \
             lifetime out, as in `text: &str`",
        )),
    }
}

fn read_receiver(receiver: &syn::Receiver) -> Result<Receiver> {
    match &receiver.kind {
        ReceiverKind::Value => Ok(Receiver::Value),
        ReceiverKind::Reference(_, None, None) => Ok(Receiver::Reference),
        ReceiverKind::Reference(_, _, Some(_)) => Err(Error::new(receiver.span(), CHANGED)),
        _ => Err(Error::new(
            receiver.span(),
            "a method on a pool takes `self` or `&self`: what it is called on is copied to another process",
        )),
    }
}

fn read_argument(index: usize, pattern: &Pat, kind: &Type) -> Result<Argument> {
    refuse_hidden(kind, "an argument")?;
    let name = match pattern {
        Pat::Ident(PatIdent { ident, .. }) => ident.clone(),
        _ => Ident::new(&format!("argument_{}", index + 1), pattern.span()),
    };
    let (kind, is_reference) = match kind {
        Type::Reference(reference) if reference.mutability.is_some() => {
            return Err(Error::new(kind.span(), CHANGED));
        }
        Type::Reference(reference) => ((*reference.elem).clone(), true),
        _ => (kind.clone(), false),
    };
    if let Some(reference) = reference_in(&kind) {
        let why = "an argument is copied to another process, and must own what it holds: `&str` and `&[T]` may stand \
                   alone, and not within another type";
        return Err(Error::new(reference, why));
    }
    Ok(Argument {
        name,
        pattern: pattern.clone(),
        kind,
        is_reference,
    })
}

fn refuse_output(output: &Type) -> Result<()> {
    refuse_hidden(output, "a result")?;
    if let Type::Never(_) = output {
        return Err(Error::new(
            output.span(),
            "a function on a pool returns: `!` never comes back",
        ));
    }
    match reference_in(output) {
        None => Ok(()),
        Some(reference) => Err(Error::new(
            reference,
            "a result comes from another process, and must own what it holds: return `String` for `&str`, `Vec<T>` for \
             `&[T]`",
        )),
    }
}

/// `impl Trait` names no type that could be decoded on the other side.
fn refuse_hidden(kind: &Type, what: &str) -> Result<()> {
    let mut finder = Finder::default();
    visit::visit_type(&mut finder, kind);
    match finder.hidden {
        None => Ok(()),
        Some(span) => Err(Error::new(
            span,
            format!(
                "{what} goes to another process, which has to know its type: write it in place of `impl`"
            ),
        )),
    }
}

fn reference_in(kind: &Type) -> Option<Span> {
    let mut finder = Finder::default();
    visit::visit_type(&mut finder, kind);
    finder.reference
}

#[derive(Default)]
struct Finder {
    hidden: Option<Span>,
    reference: Option<Span>,
}

impl<'ast> visit::Visit<'ast> for Finder {
    fn visit_type_impl_trait(&mut self, hidden: &'ast syn::TypeImplTrait) {
        self.hidden = Some(hidden.span());
    }

    fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
        self.reference = Some(reference.span());
        visit::visit_type(self, &reference.elem);
    }
}

const CHANGED: &str =
    "what a call changes in another process does not come back: take it by value, and return it";

/// As many as there are implementations of the trait that carries them.
const ARGUMENTS_MAX: usize = 12;
