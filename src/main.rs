//! The program: everything is in the library.

fn main() -> std::process::ExitCode {
    alerttrail::cli::main()
}
