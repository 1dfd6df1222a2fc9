"""One module a technology; each translates its errors into ours."""
