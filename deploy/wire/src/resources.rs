//! How much memory, processor and accelerators a process needs, with units and arithmetic.

use crate::amount::{BYTES, decimal, with_unit};
#[cfg(feature = "protocol")]
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Div, Mul, Sub},
    str::FromStr,
};

/// What a process asks for.
///
/// ```
/// # use deploy_wire::resources::{Cpu, Mem, Resources};
/// let needs = Resources { mem: 2 * Mem::GIB, cpu: Cpu::CORE / 4, ..Resources::default() };
/// assert_eq!(needs.to_string(), "2GiB of memory and 0.25 of a core");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "protocol", derive(Serialize, Deserialize))]
pub struct Resources {
    /// Memory: a limit on a cluster.
    pub mem: Mem,
    /// Processor time: a share guaranteed while others compete, never a cap.
    pub cpu: Cpu,
    /// Whole GPUs.
    pub gpu: u32,
}

impl Resources {
    /// 256 MiB, 1/16 of a core, no GPU.
    pub const DEFAULT: Resources = Resources {
        mem: Mem::MIB.times(256),
        cpu: Cpu(Cpu::CORE.0 / 16),
        gpu: 0,
    };
}

/// 256 MiB, 1/16 of a core, no GPU.
impl Default for Resources {
    fn default() -> Resources {
        Resources::DEFAULT
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = match self.cpu {
            Cpu::CORE => "1 core".to_string(),
            share if share < Cpu::CORE => format!("{share} of a core"),
            many => format!("{many} cores"),
        };
        match self.gpu {
            0 => write!(f, "{} of memory and {cores}", self.mem),
            1 => write!(f, "{} of memory, {cores} and 1 GPU", self.mem),
            many => write!(f, "{} of memory, {cores} and {many} GPUs", self.mem),
        }
    }
}

/// An amount of memory, in bytes.
///
/// ```
/// # use deploy_wire::resources::Mem;
/// assert_eq!(20 * Mem::MIB, Mem::B * 20_971_520u64);
/// assert_eq!("1.5GiB".parse::<Mem>().unwrap(), 1536 * Mem::MIB);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "protocol", derive(Serialize, Deserialize))]
pub struct Mem(u64);

impl Mem {
    /// One byte.
    pub const B: Mem = Mem(1);
    /// 1,024 bytes.
    pub const KIB: Mem = Mem(1 << 10);
    /// 1,024 KiB.
    pub const MIB: Mem = Mem(1 << 20);
    /// 1,024 MiB.
    pub const GIB: Mem = Mem(1 << 30);
    /// 1,024 GiB.
    pub const TIB: Mem = Mem(1 << 40);

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// What is left after taking `other`, or nothing at all.
    pub const fn saturating_sub(self, other: Mem) -> Mem {
        Mem(self.0.saturating_sub(other.0))
    }
}

/// The largest unit that needs no fraction: `256MiB`, `1536MiB`, `7B`.
impl fmt::Display for Mem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = BYTES
            .into_iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or(("B", 1));
        f.pad(&format!("{}{name}", self.0 / unit))
    }
}

impl FromStr for Mem {
    type Err = ParseAmountError;

    /// A number alone is none: people mean megabytes as often as bytes.
    fn from_str(text: &str) -> Result<Mem, ParseAmountError> {
        let error = || ParseAmountError {
            text: text.to_string(),
            expected: "an amount of memory, as in \"400GiB\": its unit is B, KiB, MiB, GiB or TiB",
        };
        with_unit(text, &BYTES).map(Mem).ok_or_else(error)
    }
}

/// An amount of processor time, in millionths of a core.
///
/// ```
/// # use deploy_wire::resources::Cpu;
/// assert_eq!((Cpu::CORE / 4).to_string(), "0.25");
/// assert_eq!("34".parse::<Cpu>().unwrap(), 34 * Cpu::CORE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "protocol", derive(Serialize, Deserialize))]
pub struct Cpu(u64);

impl Cpu {
    /// One core.
    pub const CORE: Cpu = Cpu(1_000_000);

    /// Millionths of a core.
    pub const fn millionths(self) -> u64 {
        self.0
    }

    /// The amount with this many millionths of a core.
    pub const fn from_millionths(millionths: u64) -> Cpu {
        Cpu(millionths)
    }

    /// What is left after taking `other`, or nothing at all.
    pub const fn saturating_sub(self, other: Cpu) -> Cpu {
        Cpu(self.0.saturating_sub(other.0))
    }
}

/// A decimal number of cores without trailing zeros: `34`, `0.0625`.
impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / Cpu::CORE.0, self.0 % Cpu::CORE.0);
        match rest {
            0 => f.pad(&whole.to_string()),
            _ => f.pad(format!("{whole}.{rest:06}").trim_end_matches('0')),
        }
    }
}

impl FromStr for Cpu {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Cpu, ParseAmountError> {
        decimal(text, Cpu::CORE.0)
            .map(Cpu)
            .ok_or_else(|| ParseAmountError {
                text: text.to_string(),
                expected: "a number of cores, as in \"34\" or \"0.5\"",
            })
    }
}

/// A text that is no amount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseAmountError {
    text: String,
    expected: &'static str,
}

impl std::error::Error for ParseAmountError {}

impl fmt::Display for ParseAmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.text, self.expected)
    }
}

/// What both amounts have: a text for programmers that is the one for people, and arithmetic. Like integers' own, it panics when the result does not fit.
macro_rules! arithmetic {
    ($amount:ident) => {
        impl fmt::Debug for $amount {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl $amount {
            /// So many times as much, also in a constant, where `*` cannot be used.
            ///
            /// # Panics
            /// If it does not fit 64 bits.
            pub const fn times(self, times: u64) -> $amount {
                $amount(self.0.checked_mul(times).expect("the amount fits 64 bits"))
            }
        }
        impl Mul<u64> for $amount {
            type Output = $amount;
            fn mul(self, times: u64) -> $amount {
                self.times(times)
            }
        }
        impl Mul<$amount> for u64 {
            type Output = $amount;
            fn mul(self, amount: $amount) -> $amount {
                amount * self
            }
        }
        impl Div<u64> for $amount {
            type Output = $amount;
            fn div(self, parts: u64) -> $amount {
                $amount(self.0 / parts)
            }
        }
        impl Add for $amount {
            type Output = $amount;
            fn add(self, other: $amount) -> $amount {
                $amount(
                    self.0
                        .checked_add(other.0)
                        .expect("the amount fits 64 bits"),
                )
            }
        }
        impl AddAssign for $amount {
            fn add_assign(&mut self, other: $amount) {
                *self = *self + other;
            }
        }
        impl Sub for $amount {
            type Output = $amount;
            fn sub(self, other: $amount) -> $amount {
                $amount(
                    self.0
                        .checked_sub(other.0)
                        .expect("an amount is not negative"),
                )
            }
        }
        impl Sum for $amount {
            fn sum<I: Iterator<Item = $amount>>(amounts: I) -> $amount {
                amounts.fold($amount(0), Add::add)
            }
        }
    };
}
arithmetic!(Mem);
arithmetic!(Cpu);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_reads_and_prints() {
        let check = |text: &str, bytes: u64, again: &str| {
            let mem: Mem = text.parse().unwrap();
            assert_eq!(
                (mem.bytes(), mem.to_string().as_str()),
                (bytes, again),
                "{text}"
            );
        };
        check("400GiB", 400 << 30, "400GiB");
        check("1.5 KiB", 1536, "1536B");
        check("34B", 34, "34B");
        check("0B", 0, "0B");
        check("7B", 7, "7B");
    }

    #[test]
    fn cores_read_and_print() {
        let check = |text: &str, millionths: u64, again: &str| {
            let cpu: Cpu = text.parse().unwrap();
            assert_eq!(
                (cpu.millionths(), cpu.to_string().as_str()),
                (millionths, again),
                "{text}"
            );
        };
        check("34", 34_000_000, "34");
        check("0.5", 500_000, "0.5");
        check("0.0625", 62_500, "0.0625");
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for text in [
            "",
            "GiB",
            "-1",
            "1e3",
            "1.",
            ".5",
            "99999999999999TiB",
            "4 GB",
            "34",
            "0",
            "١",
        ] {
            assert!(text.parse::<Mem>().is_err(), "{text}");
        }
        let error = "34".parse::<Mem>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"34\" is not an amount of memory, as in \"400GiB\": its unit is B, KiB, MiB, GiB or TiB"
        );
        let error = "much".parse::<Cpu>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"much\" is not a number of cores, as in \"34\" or \"0.5\""
        );
    }

    #[test]
    fn literals_multiply_without_a_suffix() {
        assert_eq!(20 * Mem::MIB, Mem::B * 20_971_520u64);
        assert_eq!(Cpu::CORE / 4 * 4, Cpu::CORE);
    }

    proptest! {
        #[test]
        fn what_prints_parses_to_the_same(bytes: u64, millionths: u64) {
            prop_assert_eq!(Mem(bytes).to_string().parse::<Mem>().unwrap(), Mem(bytes));
            prop_assert_eq!(Cpu(millionths).to_string().parse::<Cpu>().unwrap(), Cpu(millionths));
        }
    }
}
