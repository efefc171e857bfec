"""From a page to evidence: findings with probabilities, cautions, and where on the page each rests."""
