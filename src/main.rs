//! The program: everything is in the library.

/// Many small allocations by few threads are what a request is made of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    mooring::cli::run()
}
