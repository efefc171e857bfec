"""Makes the shipped model: page net, pool of observations, encoder, trees, decoder, cautions."""
