//! A function and its argument become a process.

use crate::{codec, error::SpawnError, itself, pid::Pid, process};
use deploy_sys::{code, limit, memfd};
use deploy_wire::{
    control::{ARGUMENT_INLINE_BYTES_MAX, Argument, Function, SpawnRequest},
    resources::Resources,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, fs::File};

/// Starts a process that runs `worker(parent, arg)`, where `parent` is this process. Blocks until the process was
/// started or refused, about a millisecond.
///
/// `worker` is any function named, or any closure that captures nothing:
///
/// ```compile_fail
/// # use deploy::*;
/// # init(Resources::default());
/// let greeting = String::from("hello");
/// let worker = |_parent: Pid, (): ()| println!("{greeting}"); // It captures `greeting`: send that as the argument.
/// spawn(worker, (), Resources::default()).expect("Out of resources!");
/// ```
///
/// The process has this program's arguments and environment. It outlives this process.
///
/// # Errors
/// [`SpawnError::OutOfResources`] if it does not fit now; [`SpawnError::NeverFits`] if no node could ever hold it;
/// otherwise what kept the machine from starting it.
///
/// # Panics
/// If `init` was not called.
#[track_caller]
pub fn spawn<F, A>(worker: F, arg: A, resources: Resources) -> Result<Pid, SpawnError>
where
    F: Fn(Pid, A),
    A: Serialize + DeserializeOwned,
{
    Builder::new().resources(resources).spawn(worker, arg)
}

/// A process to be started, with more said about it than [`spawn`] lets one say.
///
/// ```no_run
/// use deploy::*;
///
/// fn worker(_parent: Pid, shelf: u32) {
///     println!("sorting shelf {shelf}");
/// }
///
/// fn main() {
///     init(Resources::default());
///     let pid = Builder::new().name("sorter").link(true).spawn(worker, 7).expect("Out of resources!");
///     println!("{pid} ended: {}", pid.wait().unwrap());
/// }
/// ```
#[derive(Clone, Default, Debug)]
#[must_use = "a builder starts nothing until its spawn is called"]
pub struct Builder {
    name: Option<String>,
    /// What people are told that it runs, if not the function itself.
    shown: Option<String>,
    resources: Resources,
    node: Option<String>,
    wait: bool,
    link: bool,
}

impl Builder {
    /// A process with the default resources, anywhere, now or not at all, that outlives its parent.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the process's thread, for people who look at it with `ps` or a debugger; else it is called after its
    /// function.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Has people told that it runs this, where the function itself says them nothing.
    pub(crate) fn shown_as(mut self, what: String) -> Builder {
        self.shown = Some(what);
        self
    }

    /// What it needs.
    pub fn resources(mut self, resources: Resources) -> Builder {
        self.resources = resources;
        self
    }

    /// Where it may run: on the node of this name, or on those with this label, such as `gpu-box` or `disk=ssd` (what
    /// `fabric join --label` has given them). `local` is the node that this process is on, and the only one when the program
    /// runs alone. The initial process of `cargo deploy --here` is on no node, so to it `local` is refused.
    pub fn node(mut self, node: impl Into<String>) -> Builder {
        self.node = Some(node.into());
        self
    }

    /// Whether `spawn` waits until it fits, in the order of asking, rather than fail.
    pub fn wait(mut self, wait: bool) -> Builder {
        self.wait = wait;
        self
    }

    /// Whether it ends, by SIGKILL, when this process ends.
    pub fn link(mut self, link: bool) -> Builder {
        self.link = link;
        self
    }

    /// Starts it; see [`spawn`](crate::spawn()).
    ///
    /// # Errors
    /// See [`spawn`](crate::spawn()).
    ///
    /// # Panics
    /// If `init` was not called.
    #[track_caller]
    pub fn spawn<F, A>(self, worker: F, arg: A) -> Result<Pid, SpawnError>
    where
        F: Fn(Pid, A),
        A: Serialize + DeserializeOwned,
    {
        let process = process::current();
        let (request, file) = self.request(worker, &arg)?;
        process.links.hub.flush();
        Ok(Pid(process.control.spawn(request, file)?))
    }

    /// The same for tasks: completes when the process was started or refused, and blocks no thread. Nothing is asked for
    /// until it is polled.
    ///
    /// Dropped before it completes, it withdraws what it asked for: a process that still waits to fit is never started.
    /// One that was started in that very moment lives on, and nobody learns its pid.
    ///
    /// ```no_run
    /// # use deploy::*;
    /// # async fn sorted() -> Result<(), SpawnError> {
    /// fn worker(_parent: Pid, shelf: u32) {
    ///     println!("sorting shelf {shelf}");
    /// }
    /// let resources = Resources { mem: 20 * Mem::GIB, ..Resources::default() };
    /// let pid = Builder::new().resources(resources).wait(true).spawn_async(worker, 7).await?;
    /// println!("{pid} ended: {}", pid.wait_async().await.unwrap());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`spawn`](crate::spawn()).
    ///
    /// # Panics
    /// If `init` was not called.
    #[track_caller]
    pub fn spawn_async<F, A>(
        self,
        worker: F,
        arg: A,
    ) -> impl Future<Output = Result<Pid, SpawnError>> + Send + 'static
    where
        F: Fn(Pid, A),
        A: Serialize + DeserializeOwned,
    {
        let process = process::current();
        let request = self.request(worker, &arg);
        async move {
            let (request, file) = request?;
            process.links.hub.flush();
            Ok(Pid(process.control.spawn_async(request, file).await?))
        }
    }

    /// What is asked of the monitor, and the file with the argument if it is long.
    fn request<F, A>(self, worker: F, arg: &A) -> Result<(SpawnRequest, Option<File>), SpawnError>
    where
        F: Fn(Pid, A),
        A: Serialize + DeserializeOwned,
    {
        std::mem::forget(worker); // Its type says it all: the value lives on in the new process.
        let offset = code::offset(enter::<F, A>).map_err(|_| SpawnError::NotInProgram)?;
        let (argument, file) = encode(arg)?;
        let request = SpawnRequest {
            id: 0, // Given by `Control`.
            function: Function {
                offset,
                name: self.shown.unwrap_or_else(|| type_name::<F>().to_string()),
            },
            argument,
            name: self.name,
            resources: self.resources,
            node: self.node,
            wait: self.wait,
            link: self.link,
        };
        Ok((request, file))
    }
}

/// What the new process runs.
fn enter<F, A>(argument: Vec<u8>) -> Vec<u8>
where
    F: Fn(Pid, A),
    A: Serialize + DeserializeOwned,
{
    let worker = code::only_value::<F>();
    let parent = itself::parent().expect("a worker has a parent");
    let argument = match codec::decode_whole(argument) {
        Ok(argument) => argument,
        Err(why) => panic!(
            "deploy: the argument could not be decoded as {}: {why}",
            type_name::<A>()
        ),
    };
    __rust_begin_short_backtrace(|| worker(parent, argument));
    Vec::new() // Whoever asked for a process hears of it by channels.
}

/// Where a panic's backtrace ends, unless it is asked for in full: std knows the frame by this name.
#[inline(never)]
fn __rust_begin_short_backtrace(worker: impl FnOnce()) {
    worker();
    std::hint::black_box(()); // Otherwise the call above could take this frame's place.
}

/// The argument inside the request, or in a file beside it.
fn encode<A: Serialize>(arg: &A) -> Result<(Argument, Option<File>), SpawnError> {
    let bytes = codec::encode_whole(arg).map_err(SpawnError::Codec)?;
    if bytes.len() <= ARGUMENT_INLINE_BYTES_MAX {
        return Ok((Argument::Inline(bytes.into_owned()), None));
    }
    let file = memfd::sealed("deploy-argument", &bytes).map_err(|error| {
        let why = limit::explain(&error);
        SpawnError::Launch(format!("its argument cannot be handed over: {why}"))
    })?;
    Ok((
        Argument::File {
            len: bytes.len() as u64,
        },
        Some(file),
    ))
}
