//! The function as it is written becomes one that makes a call.
//!
//! Its body goes into a closure that captures nothing. So nothing is registered and nothing is named: the closure's type
//! says where its code lies, as for `spawn`, and `Self` and the generics around it mean what they meant. Only a method's
//! body has to be a function of its own, beside it, because a closure has no `self`.

use crate::{
    function::{Argument, Function, Receiver},
    terms::Terms,
};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, FnArg, ItemFn, Result, Type, ext::IdentExt, spanned::Spanned};

/// The function that takes the place of `item`; where that cannot be, the error, beside the function as it was, so that
/// those who call it are not told of a second error.
pub(crate) fn expand(terms: Result<Terms>, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = syn::Error::new(
                error.span(),
                format!("this attribute stands before a function: {error}"),
            );
            return error.into_compile_error();
        }
    };
    let expanded = terms.and_then(|terms| {
        refuse_another(&function)?;
        Ok(put_together(&terms, &function, Function::read(&function)?))
    });
    expanded.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote!(#error #item)
    })
}

/// The function below one attribute of ours has none more.
fn refuse_another(item: &ItemFn) -> Result<()> {
    let is_ours = |attribute: &&Attribute| {
        let name = attribute.path().segments.last();
        name.is_some_and(|name| name.ident == "on" || name.ident == "with")
    };
    match item.attrs.iter().find(is_ours) {
        None => Ok(()),
        Some(other) => Err(syn::Error::new(
            other.span(),
            "#[with(POOL, ..)] says what #[on(POOL)] does, and what a call needs: write one of the two",
        )),
    }
}

fn put_together(terms: &Terms, item: &ItemFn, function: Function) -> TokenStream {
    let ItemFn {
        attrs, vis, sig, ..
    } = item;
    let name = &sig.ident;
    let (generics, bounds) = (&sig.generics, &sig.generics.where_clause);
    let output = output(&function, name);
    let own = function.receiver.map(|_| FnArgOfSelf(item));
    let inputs = inputs(&function);
    let (ways, way) = ways(&function, item, &output);
    let given = given(&function, item);
    let (pool, fields) = (&terms.pool, fields(terms));
    let (make, body) = match sig.asyncness {
        Some(_) => (quote!(call_async), async_body(&function, item, &output)),
        None => (quote!(call), plain_body(&function, item, &output)),
    };
    let beside = function.receiver.map(|_| beside(item));
    let place = pool.span();
    let pool = quote_spanned!(place=> ::deploy::__private::Pool::clone(&#pool));
    quote! {
        #beside
        #(#attrs)*
        #vis fn #name #generics (#own #(#inputs),*) -> ::deploy::Call<#output> #bounds {
            ::deploy::__private::#make(
                #pool,
                #fields,
                #given,
                #ways,
                #way,
                #body,
            )
        }
    }
}

/// `self` or `&self`, with the comma behind it.
struct FnArgOfSelf<'a>(&'a ItemFn);

impl quote::ToTokens for FnArgOfSelf<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        if let Some(FnArg::Receiver(receiver)) = self.0.sig.inputs.first() {
            let mut receiver = receiver.clone();
            receiver.mutability = None; // Which concerns the body alone.
            quote!(#receiver,).to_tokens(tokens);
        }
    }
}

fn output(function: &Function, name: &Ident) -> TokenStream {
    match &function.output {
        Some(output) => quote!(#output),
        None => quote_spanned!(name.span()=> ()),
    }
}

/// How the new function takes what it is given.
fn inputs(function: &Function) -> Vec<TokenStream> {
    let input = |argument: &Argument| {
        let Argument { name, kind, .. } = argument;
        match argument.is_reference {
            true => quote!(#name: &#kind),
            false => quote!(#name: #kind),
        }
    };
    function.arguments.iter().map(input).collect()
}

/// What the closure is given: a type that owns what it holds.
fn owned(argument: &Argument) -> TokenStream {
    let kind = &argument.kind;
    match argument.is_reference {
        true => owned_of(kind),
        false => quote!(#kind),
    }
}

fn owned_of(kind: &Type) -> TokenStream {
    match kind {
        // Where the elements have no copy this is said once, since the vector is a type all the same.
        Type::Slice(slice) => {
            let element = &slice.elem;
            quote_spanned!(kind.span()=> ::std::vec::Vec<#element>)
        }
        _ => quote_spanned!(kind.span()=> <#kind as ::std::borrow::ToOwned>::Owned),
    }
}

/// How the arguments travel, a tuple, and how the result does: expressions that the compiler refuses if they do not.
fn ways(function: &Function, item: &ItemFn, output: &TokenStream) -> (TokenStream, TokenStream) {
    let own = function.receiver.map(|_| {
        let span = item.sig.inputs.first().span();
        way(&format_ident!("argument_self"), &quote!(Self), span)
    });
    let arguments = function.arguments.iter().map(|argument| {
        let name = format_ident!("argument_{}", argument.name.unraw());
        way(&name, &owned(argument), argument.kind.span())
    });
    let ways = own.into_iter().chain(arguments);
    let ways = quote!((#(#ways,)*));
    let span = function
        .output
        .as_ref()
        .map_or(Span::call_site(), Spanned::span);
    (ways, way(&format_ident!("result"), output, span))
}

/// How one type travels. The name is that of a function, which the compiler's error mentions.
fn way(name: &Ident, kind: &TokenStream, span: Span) -> TokenStream {
    let bound = quote_spanned!(span=> ::deploy::__private::Travels<T>);
    let ask = quote_spanned!(span=> (&::deploy::__private::Asked::<#kind>::NOW).way());
    let show = quote_spanned!(span=> #name::<#kind, _>(&way));
    quote!({
        #[allow(unused_imports)]
        use ::deploy::__private::{Can as _, Cannot as _};
        #[allow(non_snake_case)]
        fn #name<T, W: #bound>(_: &W) {}
        let way = #ask;
        #show;
        way
    })
}

/// The tuple that goes to the worker.
fn given(function: &Function, item: &ItemFn) -> TokenStream {
    let own = match function.receiver {
        None => quote!(),
        Some(Receiver::Value) => quote!(self,),
        Some(Receiver::Reference) => {
            let copy = quote_spanned!(item.sig.inputs.first().span()=> <Self as ::std::borrow::ToOwned>::to_owned);
            quote!(#copy(self),)
        }
    };
    let give = |argument: &Argument| {
        let Argument { name, kind, .. } = argument;
        match argument.is_reference {
            true => {
                quote_spanned!(kind.span()=> <#kind as ::std::borrow::ToOwned>::to_owned(#name))
            }
            false => quote!(#name),
        }
    };
    let arguments = function.arguments.iter().map(give);
    quote!((#own #(#arguments,)*))
}

/// The closure's own argument, and what is written before the body so that it finds what it expects.
fn taken(function: &Function) -> (TokenStream, TokenStream) {
    let mut patterns = Vec::new();
    let mut kinds = Vec::new();
    let mut borrowed = Vec::new();
    if function.receiver.is_some() {
        patterns.push(quote!(__deploy_self));
        kinds.push(quote!(Self));
    }
    for argument in &function.arguments {
        let Argument {
            name,
            pattern,
            kind,
            is_reference,
        } = argument;
        kinds.push(owned(argument));
        if function.receiver.is_some() {
            patterns.push(quote!(#name)); // The function beside has the pattern.
        } else if *is_reference {
            patterns.push(quote!(#name));
            borrowed.push(quote!(let #pattern: &#kind = ::std::borrow::Borrow::borrow(&#name);));
        } else {
            patterns.push(quote!(#pattern));
        }
    }
    (
        quote!((#(#patterns,)*): (#(#kinds,)*)),
        quote!(#(#borrowed)*),
    )
}

fn plain_body(function: &Function, item: &ItemFn, output: &TokenStream) -> TokenStream {
    let (taken, borrowed) = taken(function);
    let body = body(function, item);
    quote!(|#taken| -> #output { #borrowed #body })
}

fn async_body(function: &Function, item: &ItemFn, output: &TokenStream) -> TokenStream {
    let (taken, borrowed) = taken(function);
    let body = body(function, item);
    let body = match function.receiver {
        Some(_) => quote!(#body.await),
        None => body,
    };
    quote!(|#taken| ::deploy::__private::returns::<#output, _>(async move { #borrowed #body }))
}

/// What stood in the function; of a method, a call of the function beside it.
fn body(function: &Function, item: &ItemFn) -> TokenStream {
    let Some(receiver) = function.receiver else {
        let statements = &item.block.stmts;
        return quote!(#(#statements)*);
    };
    let beside = beside_name(item);
    let own = match receiver {
        Receiver::Value => quote!(__deploy_self),
        Receiver::Reference => quote!(&__deploy_self),
    };
    let pass = |argument: &Argument| {
        let name = &argument.name;
        match argument.is_reference {
            true => quote!(::std::borrow::Borrow::borrow(&#name)),
            false => quote!(#name),
        }
    };
    let arguments = function.arguments.iter().map(pass);
    quote!(Self::#beside(#own, #(#arguments),*))
}

/// A method as it was written, under another name.
fn beside(item: &ItemFn) -> TokenStream {
    let mut function = item.clone();
    function.sig.ident = beside_name(item);
    function.attrs.retain(|attribute| {
        ["allow", "expect", "cfg", "warn"]
            .iter()
            .any(|kept| attribute.path().is_ident(kept))
    });
    function.vis = syn::Visibility::Inherited;
    quote!(#[doc(hidden)] #function)
}

fn beside_name(item: &ItemFn) -> Ident {
    format_ident!("__deploy_{}", item.sig.ident.unraw())
}

fn fields(terms: &Terms) -> TokenStream {
    let set = terms.fields.iter().map(|(name, value)| {
        let field = Ident::new(&name.to_string(), Span::mixed_site());
        quote_spanned!(name.span()=> terms.#field = ::core::option::Option::Some(#value);)
    });
    match terms.fields.is_empty() {
        true => quote!(::deploy::__private::Terms::NONE),
        false => quote!({
            let mut terms = ::deploy::__private::Terms::NONE;
            #(#set)*
            terms
        }),
    }
}
