"""Questions and answers about ECGs: what is asked, what the evidence answers, and data sets made of both."""
