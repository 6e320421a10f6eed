"""The controls of the page with two sides (avo/latents/sides.py), as HTML; names of users are escaped here."""

from avo.report.words import escaped

NOTHING = '<p class="soft">No latent of this model changes the signal: there is nothing to move.</p>'
GROUPS = """<h3>Groups</h3>
<p class="groups"><label>add the mean of <select id="to">{options}</select></label>
<label>minus that of <select id="from">{options}</select></label></p>
<div class="slider"><div><label for="strength">times</label><output id="strength-value" for="strength"></output></div>
<div><input type="range" id="strength" min="-20" max="20" value="10" step="1">
<button type="button" class="small" id="add">Add</button></div></div>"""


def slider(kind: str, i: int, name: str) -> str:
    """Write a slider with its buttons and its lock, of a latent or a parameter."""
    own = escaped(name)
    return (
        f'<div class="slider"><div><label for="{kind}-{i}">{own}</label>'
        f'<output id="{kind}-value-{i}" for="{kind}-{i}"></output></div><div>'
        f'<button type="button" class="small" id="{kind}-less-{i}" aria-label="less {own}">−</button>'
        f'<input type="range" id="{kind}-{i}" min="0" max="200" value="100" step="1">'
        f'<button type="button" class="small" id="{kind}-more-{i}" aria-label="more {own}">+</button>'
        f'<label class="lock"><input type="checkbox" id="{kind}-lock-{i}" aria-label="lock {own}"> lock</label>'
        "</div></div>"
    )


def row(i: int, name: str) -> str:
    """Write an attribute with its buttons and its lock."""
    own = escaped(name)
    return (
        f'<div class="attribute"><span class="named">{own}</span><output id="attribute-value-{i}"></output><span>'
        f'<button type="button" class="small" id="attribute-less-{i}" aria-label="less {own}">−</button>'
        f'<button type="button" class="small" id="attribute-more-{i}" aria-label="more {own}">+</button>'
        f'<label class="lock"><input type="checkbox" id="attribute-lock-{i}" aria-label="lock {own}"> lock</label>'
        "</span></div>"
    )


def told(side: str) -> str:
    """Write where the misfit of a side stands, and its curve."""
    return f'<p class="misfit" id="{side}-misfit" role="status"></p><div class="curve" id="{side}-curve"></div>'


def buttons(side: str) -> str:
    """Write what a side says and does as a whole."""
    return (
        f'<p class="beyond" id="{side}-beyond" role="status"></p>'
        f'<p><button type="button" id="{side}-back">Back to the signal</button>'
        f'<button type="button" id="{side}-best">Best fit of what is not locked</button></p>'
    )
