"""The report: one HTML file, for colleagues who have neither the simulator nor avo.

    page.py        what the file is made of, and its assembly
    words.py       the answer in a sentence, warnings, the table, what was done
    pictures.py    the pictures, drawn once for wide and once for narrow screens, in the page's own colours
    emulator.py    x as polynomials of the parameters, fitted to the simulations that the run kept
    sliders.py     what the page's sliders need, as plain values
    page.html, page.css, page.js
    parts.py, shared.js   what other pages have, too (avo/latents/sides.py)

The page asks no host for anything, and says so to the browser (a Content-Security-Policy that lets its own script run,
by hash, and nothing else). Everything that comes from users is escaped where it enters.
"""
