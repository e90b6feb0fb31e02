//! The program: everything is in the library.

fn main() -> std::process::ExitCode {
    mooring::cli::run()
}
