"""The demo: real purchases through the whole road. ``story`` says what happens, ``play`` makes it happen."""
