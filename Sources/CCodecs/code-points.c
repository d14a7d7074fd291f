// Colours by the numbers that ITU-T H.273 gives to primaries and transfer curves, which AVIF, HEIC and PNG files state.
#include "support.h"

enum { BT709 = 1, GAMMA_22 = 4, GAMMA_28 = 5, LINEAR = 8, PQ = 16, HLG = 18 };

// White, red, green, blue (x and y each) of table 2; those of sRGB for a number that says none.
static const double *chromaticities(int primaries) {
  static const double srgb[] = {0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06},
                      bt470m[] = {0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08},
                      bt470bg[] = {0.3127, 0.329, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06},
                      bt601[] = {0.3127, 0.329, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07},
                      film[] = {0.31, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049},
                      bt2020[] = {0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046},
                      p3_theatre[] = {0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06},
                      p3[] = {0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06},
                      ebu3213[] = {0.3127, 0.329, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077};
  switch (primaries) {
  case 4:
    return bt470m;
  case 5:
    return bt470bg;
  case 6:
  case 7:
    return bt601;
  case 8:
    return film;
  case 9:
    return bt2020;
  case 11:
    return p3_theatre;
  case 12:
    return p3;
  case 22:
    return ebu3213;
  default:
    return srgb;
  }
}

int tsdf_take_code_points(int primaries, int transfer, tsdf_picture *picture, tsdf_bytes *profile) {
  const double *found = chromaticities(primaries);
  if (transfer == PQ || transfer == HLG) {
    picture->primaries = primaries;
    picture->transfer = transfer;
  }
  // Viewers show the curves of television as sRGB's.
  const double gamma = transfer == GAMMA_22 ? 2.2 : transfer == GAMMA_28 ? 2.8 : transfer == LINEAR ? 1 : 0;
  return found == chromaticities(BT709) && !gamma ? 0 : tsdf_make_profile(found, gamma, profile);
}
