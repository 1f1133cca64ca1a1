"""The rules of referrals, pure: from values to values. Start with ``rewards``.

``rewards``: what a conversion earns, and why. ``conversions``: whether it counts at all.
``refunds``: what a refund takes back. ``codes``: how codes are made and checked.
"""
