"""Every network at its official size against another program: the checks of tools/check-parity."""
