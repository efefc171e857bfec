"""Dark screens, and pages on what is dark."""

import cv2
import numpy as np
from gaussians import gaussian_record

from ecgvlm.digitize.negative import dark_on_bright
from ecgvlm.paper.print import print_page


def test_bright_writing_on_the_dark_around_a_page_makes_no_negative():
    page = print_page(gaussian_record(), "clean", np.random.default_rng(1)).image
    height, width = page.shape[:2]
    screen = np.pad(page, ((height, height), (0, 0), (0, 0)))
    cv2.putText(screen, "09:41", (width // 10, height // 3), cv2.FONT_HERSHEY_SIMPLEX, 5, (255, 255, 255), 12)
    assert dark_on_bright(screen) is screen
    assert dark_on_bright(255 - page) is not page
