// Declarations only: the library is the compiler's.
