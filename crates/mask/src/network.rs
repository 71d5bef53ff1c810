//! Network addresses, in text and binary. `network_send` (utils/adt/network.c): family, bits, is_cidr, length, address.

use std::net::IpAddr;

use crate::types::Format;

/// How many leading bits of an address are kept, at most 32 and 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

/// PGSQL_AF_INET and PGSQL_AF_INET6 (utils/inet.h; AF_INET is 2 on every platform).
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 3;

/// An address with its prefix length.
struct Network {
    address: IpAddr,
    bits: u8,
}

/// Writes the network of an `inet` or `cidr`.
pub(crate) fn mask(value: &[u8], kept: Kept, is_cidr: bool, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let network = match format {
        Format::Text => Network::parse(std::str::from_utf8(value).ok()?)?,
        Format::Binary => Network::read(value, is_cidr)?,
    };
    network.outer(kept).write(is_cidr, format, out);
    Some(())
}

/// Returns the network of an address in text.
pub(crate) fn mask_text(text: &str, kept: Kept) -> Option<String> {
    let Network { address, bits } = Network::parse(text)?.outer(kept);
    Some(format!("{address}/{bits}"))
}

/// Writes an `inet` or `cidr` that is given in text.
pub(crate) fn constant(text: &str, is_cidr: bool, format: Format, out: &mut Vec<u8>) -> Option<()> {
    let network = Network::parse(text)?;
    // PostgreSQL refuses a `cidr` with bits to the right of its prefix.
    if is_cidr && network.address != cut(network.address, network.bits) {
        return None;
    }
    network.write(is_cidr, format, out);
    Some(())
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = most_bits(address);
        let bits = match bits {
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (bits <= most).then_some(Self { address, bits })
    }

    fn read(value: &[u8], is_cidr: bool) -> Option<Self> {
        let (&[family, bits, cidr, length], address) = value.split_first_chunk::<4>()?;
        if usize::from(length) != address.len() || cidr != u8::from(is_cidr) {
            return None;
        }
        let address = match family {
            FAMILY_V4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
            FAMILY_V6 => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
            _ => return None,
        };
        (bits <= most_bits(address)).then_some(Self { address, bits })
    }

    /// The network that stands for the address: never more of it than the kept bits.
    fn outer(self, kept: Kept) -> Self {
        let kept = match self.address {
            IpAddr::V4(_) => kept.v4,
            IpAddr::V6(_) => kept.v6,
        };
        let bits = self.bits.min(kept);
        Self { address: cut(self.address, bits), bits }
    }

    fn write(&self, is_cidr: bool, format: Format, out: &mut Vec<u8>) {
        let Self { address, bits } = *self;
        match format {
            Format::Text => out.extend_from_slice(format!("{address}/{bits}").as_bytes()),
            Format::Binary => {
                let (family, octets) = match address {
                    IpAddr::V4(v4) => (FAMILY_V4, v4.octets().to_vec()),
                    IpAddr::V6(v6) => (FAMILY_V6, v6.octets().to_vec()),
                };
                out.extend_from_slice(&[family, bits, u8::from(is_cidr), most_bits(address) / 8]);
                out.extend_from_slice(&octets);
            }
        }
    }
}

const fn most_bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & keep).into())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & keep).into())
        }
    }
}
