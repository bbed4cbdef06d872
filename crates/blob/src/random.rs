//! Names that nobody can guess and that never meet.

/// 32 hexadecimal digits (128 bits) from the crypto library's generator.
pub(crate) fn token() -> Result<String, std::io::Error> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system's random generator does not answer"))?;
    Ok(hex::encode(bytes))
}
