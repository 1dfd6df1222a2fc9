"""What we say: events, subjects, calls and the model card. No behaviour beyond reading and writing them.

Owns the vocabulary that services share; hears and says nothing itself. Generated code (`wire`) is hidden behind it.
"""
