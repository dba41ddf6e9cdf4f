"""Install machine instances by koan, which is a program of cobbler's that this host has."""
