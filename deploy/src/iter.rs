//! The values of a receiver one after another, for loops.
//!
//! Nothing is read ahead: an iterator that is dropped leaves all that it did not give.

use crate::{error::ChannelError, receiver::Receiver};
use serde::{Serialize, de::DeserializeOwned};

/// The values that a [`Receiver`] receives; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T: Serialize + DeserializeOwned + Send + 'static> {
    receiver: &'a Receiver<T>,
    over: bool,
}

/// The values of a [`Receiver`] that is dropped with the iterator.
#[derive(Debug)]
pub struct IntoIter<T: Serialize + DeserializeOwned + Send + 'static> {
    receiver: Receiver<T>,
    over: bool,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// The values as they come, each of which is waited for. Ends when the peer drops its sender; after any other error
    /// of the channel comes that error, and then the end.
    ///
    /// ```no_run
    /// # use deploy::*;
    /// fn total(numbers: &Receiver<u64>) -> Result<u64, ChannelError> {
    ///     let mut total = 0;
    ///     for number in numbers {
    ///         total += number?;
    ///     }
    ///     Ok(total)
    /// }
    ///
    /// fn total_in_short(numbers: &Receiver<u64>) -> Result<u64, ChannelError> {
    ///     numbers.iter().sum()
    /// }
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter {
            receiver: self,
            over: false,
        }
    }
}

impl<'a, T: Serialize + DeserializeOwned + Send + 'static> IntoIterator for &'a Receiver<T> {
    type Item = Result<T, ChannelError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> IntoIterator for Receiver<T> {
    type Item = Result<T, ChannelError>;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter {
            receiver: self,
            over: false,
        }
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Iterator for Iter<'_, T> {
    type Item = Result<T, ChannelError>;

    #[track_caller]
    fn next(&mut self) -> Option<Result<T, ChannelError>> {
        next(self.receiver, &mut self.over)
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Iterator for IntoIter<T> {
    type Item = Result<T, ChannelError>;

    #[track_caller]
    fn next(&mut self) -> Option<Result<T, ChannelError>> {
        next(&self.receiver, &mut self.over)
    }
}

#[track_caller]
fn next<T: Serialize + DeserializeOwned + Send + 'static>(
    receiver: &Receiver<T>,
    over: &mut bool,
) -> Option<Result<T, ChannelError>> {
    if *over {
        return None;
    }
    let result = receiver.recv();
    *over = !matches!(result, Ok(_) | Err(ChannelError::Codec(_)));
    Some(result).filter(|result| !matches!(result, Err(ChannelError::Closed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel_tests::connected, sender::Sender};

    #[test]
    fn loops_end_with_the_channel_and_take_no_more_than_they_give() {
        let ends = connected();
        let (sender, receiver) = (
            Sender::<u64>::on(ends.left),
            Receiver::<u64>::on(ends.right),
        );
        (0..10).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        assert_eq!(receiver.iter().next(), Some(Ok(0)));
        let mut sum = 0;
        for n in &receiver {
            sum += n.unwrap();
            if sum >= 6 {
                break;
            }
        }
        assert_eq!(sum, 6);
        let rest: Result<Vec<u64>, ChannelError> = receiver.into_iter().collect();
        assert_eq!(rest, Ok((4..10).collect()));
    }
}
